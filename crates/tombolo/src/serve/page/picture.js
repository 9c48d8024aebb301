// Searching with a picture that is chosen, pasted or dropped. This tab keeps it; the address has the key to it only.

import { NO_QUERY, go } from "./address.js";
import { $, element } from "./elements.js";
import { sayError } from "./status.js";

// Enough for every image tower, small enough for the session's storage.
const PICTURE_PIXELS = 640;

export const keptPicture = (key) => sessionStorage.getItem(key);

function keepPicture(key, url) {
  try {
    sessionStorage.setItem(key, url);
  } catch {
    // Storage is full: older pictures make room.
    Object.keys(sessionStorage).filter((name) => name.startsWith("picture-")).forEach((name) => sessionStorage.removeItem(name));
    sessionStorage.setItem(key, url);
  }
}

async function searchWithPicture(file) {
  if (!file) return;
  const key = `picture-${Date.now().toString(36)}`;
  try {
    keepPicture(key, await dataUrlOf(file));
  } catch {
    return sayError(new Error("The picture is too large, or could not be read."));
  }
  go({ ...NO_QUERY, picture: key, photo: "" });
}

// A format that the browser cannot read is sent as it is; the server knows some that browsers do not.
async function dataUrlOf(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return readAsDataUrl(file);
  const scale = Math.min(1, PICTURE_PIXELS / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}

function readAsDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

const imageIn = (files) => [...(files ?? [])].find((file) => file.type.startsWith("image/"));

export function wirePicture() {
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { searchWithPicture($("file").files[0]); $("file").value = ""; });
  addEventListener("paste", (event) => {
    const picture = imageIn(event.clipboardData?.files);
    // Office programs put a picture of the text beside the text.
    if (!picture || (event.clipboardData.getData("text/plain") && event.target.closest("input"))) return;
    event.preventDefault();
    searchWithPicture(picture);
  });
  wireDrop();
}

function wireDrop() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
  addEventListener("drop", (event) => {
    $("drop").hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    const picture = imageIn(event.dataTransfer.files);
    if (picture) searchWithPicture(picture);
    else sayError(new Error("That is no picture."));
  });
}
