// The page of `tombolo serve`. What it shows follows from its address; this starts its parts, and tells them when that changes.

import { asked, searchAddress, watchAddress } from "./address.js";
import { showControls, wireHeader, wireHelp, wireKeys, wireOrder, wireSearch } from "./controls.js";
import { loadChoices, showFilters, wireFilters } from "./filters.js";
import { wireGrid } from "./grid.js";
import { closePhoto, openPhoto, wirePhoto } from "./photo.js";
import { wirePicture } from "./picture.js";
import { search, wireMore } from "./searching.js";
import { wireToken } from "./server.js";
import { countPhotos } from "./status.js";
import { wireWhy } from "./why.js";

const WIRES = [
  wireToken, wireGrid, wireMore, wireFilters, wireSearch, wireHelp, wireOrder, wireKeys, wireHeader, wirePicture, wirePhoto, wireWhy,
];

function show(before, { again = false, fromHistory = false }) {
  const state = asked();
  showControls();
  showFilters();
  if (again || !before || searchAddress(before) !== searchAddress(state)) search(fromHistory);
  if (state.photo) openPhoto(state.photo);
  else closePhoto();
}

function start() {
  history.scrollRestoration = "manual";
  for (const wire of WIRES) wire();
  watchAddress(show);
  // The search says what is wrong with the server, if anything is.
  countPhotos().catch(() => {});
  loadChoices().catch(() => {});
}

start();
