// One found photo as a small picture that leads to it.

import { photoAddress } from "./address.js";
import { element } from "./elements.js";
import { loadImage } from "./images.js";
import { nameOf, percent } from "./wording.js";

export function tileFor(hit) {
  const picture = element("img", { alt: hit.caption ?? nameOf(hit.path), loading: "lazy", decoding: "async", draggable: false });
  const says = element("span", { className: "says" });
  if (hit.probability !== null) {
    says.append(element("span", { className: "probability" }, percent(hit.probability), element("span", { className: "unseen" }, " match")));
  }
  if (hit.caption) says.append(element("span", { className: "text", ariaHidden: "true" }, hit.caption));
  const tile = element("a", { className: "tile", href: photoAddress(hit.id) }, picture, says);
  picture.addEventListener("load", () => tile.classList.add("shown"));
  picture.addEventListener("error", () => tile.append(element("span", { className: "missing", ariaHidden: "true" }, nameOf(hit.path))));
  loadImage(picture, `/items/${hit.id}/thumbnail`);
  return tile;
}
