// The page of `tombolo serve`, in Chromium, against a library of at least 40 photos of which nothing else is known.
// To run: npm install, start the server, then TOMBOLO_URL=http://127.0.0.1:PORT npm test

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  answerTo, answering, assertShows, hit, idsOf, idsShown, picture, searchFor, settled, startBrowser, stopBrowser, thumbnailOf, withPage,
} from "./browser.mjs";

const SHOWN = 60;
const parameter = (page, name) => new URL(page.url()).searchParams.get(name);
const focusedIndex = (page) => page.evaluate(() => Number(document.activeElement.dataset.index ?? -1));
const first = "#grid .tile >> nth=0";

before(startBrowser);
after(stopBrowser);

test("an empty search shows the newest photos in full rows, without shifting", () =>
  withPage(async (page) => {
    await assertShows(page, await answerTo({ top: SHOWN }));
    assert.match(await page.textContent("#status"), /^[\d,]+ photos$/);
    const [width, rows] = await page.$eval("#grid", (grid) => [
      grid.clientWidth,
      [...grid.querySelectorAll(".row")].map((row) => row.lastChild.getBoundingClientRect().right - grid.getBoundingClientRect().left),
    ]);
    for (const row of rows.slice(0, -1)) assert.ok(Math.abs(row - width) < 1, `a row of ${row} in ${width}`);
    const shift = await page.evaluate(() => new Promise((resolve) => {
      new PerformanceObserver((list) => resolve(list.getEntries().reduce((sum, entry) => sum + entry.value, 0)))
        .observe({ type: "layout-shift", buffered: true });
      setTimeout(() => resolve(0), 500);
    }));
    assert.ok(shift < 0.02, `layout shift of ${shift}`);
  }));

test("words find what the server finds, with probabilities in sight", () =>
  withPage(async (page) => {
    await searchFor(page, "a dog on grass");
    const answer = await answerTo({ query: "a dog on grass", top: SHOWN });
    assert.equal(parameter(page, "q"), "a dog on grass");
    await assertShows(page, answer);
    const known = answer.hits[0].probability !== null;
    assert.equal(await page.locator("#cut").isVisible(), known);
    if (known) assert.match(await page.textContent(`${first} >> .probability`), /^[<>]?\d+% match$/);
    if (known) assert.ok(await page.locator(`${first} >> .probability`).isVisible());
  }));

test("the cut-off leaves out what is less probable, and can be taken back", (t) =>
  withPage(async (page) => {
    await searchFor(page, "a dog on grass");
    if (await page.isHidden("#cut")) return t.skip("this model gives no probabilities");
    const { hits } = await answerTo({ query: "a dog on grass", top: SHOWN });
    await page.press("#cut-off", "End");
    await page.waitForURL(/min=99/);
    await settled(page);
    const most = hits.filter((hit) => hit.probability >= 0.99);
    await assertShows(page, { hits: most });
    assert.equal(await page.isVisible("#empty"), most.length === 0);
    await page.press("#cut-off", "Home");
    await page.waitForURL((url) => !url.searchParams.has("min"));
    await settled(page);
    await assertShows(page, { hits });
  }));

test("an expression finds what the server finds; a wrong one says where it is wrong", () =>
  withPage(async (page) => {
    await searchFor(page, "(dog OR cat) AND NOT water");
    await assertShows(page, await answerTo({ query: "(dog OR cat) AND NOT water", top: SHOWN }));
    await searchFor(page, "dög )");
    assert.match(await page.textContent("#error"), /^column 5: /);
    assert.equal(await page.getAttribute("#query", "aria-invalid"), "true");
    assert.equal(await page.textContent("#mirror mark"), ")");
    await searchFor(page, "dog AND");
    assert.match(await page.textContent("#error"), /^column 8: /);
    assert.equal((await page.textContent("#mirror")).trimEnd(), "dog AND");
    await page.type("#query", " cat");
    assert.equal(await page.locator("#mirror mark").count(), 0);
    await searchFor(page, "dog");
    assert.equal(await page.textContent("#error"), "");
    await assertShows(page, await answerTo({ query: "dog", top: SHOWN }));
  }));

test("an example of the help searches", () =>
  withPage(async (page) => {
    await page.click("#ask");
    assert.equal(await page.locator(".example").count(), 5);
    await page.click("#image-example");
    await settled(page);
    const { hits } = await answerTo({ top: 1 });
    assert.equal(parameter(page, "q"), `image:${hits[0].id} AND snow`);
    assert.ok(await page.isHidden("#help"));
    assert.ok((await idsShown(page)).length > 0);
  }));

async function handOver(page, way, bytes) {
  if (way === "chosen") return page.setInputFiles("#file", { name: "some.jpg", mimeType: "image/jpeg", buffer: bytes });
  await page.evaluate(([way, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], "some.jpg", { type: "image/jpeg" }));
    const said = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
    if (way === "dropped") document.body.dispatchEvent(new DragEvent("dragover", said));
    document.body.dispatchEvent(way === "pasted" ? new ClipboardEvent("paste", said) : new DragEvent("drop", said));
  }, [way, [...bytes]]);
}

for (const way of ["chosen", "pasted", "dropped"]) {
  test(`a picture that is ${way} finds the photo it is of`, () =>
    withPage(async (page) => {
      const { id } = (await answerTo({ top: 40 })).hits[17];
      await handOver(page, way, await thumbnailOf(id));
      await page.waitForURL(/picture=/);
      await settled(page);
      assert.ok((await idsShown(page)).slice(0, 5).includes(id));
      assert.ok(await page.isVisible("#like-picture"));
      assert.ok(await page.isHidden("#drop"));
      assert.ok(await page.isHidden("#cut"));
      await page.reload();
      await settled(page);
      assert.ok((await idsShown(page)).slice(0, 5).includes(id));
      await page.click("#unlike");
      await settled(page);
      await assertShows(page, await answerTo({ top: SHOWN }));
    }));
}

test("words beside a picture are added to it and taken away from it", () =>
  withPage(async (page) => {
    const { id } = (await answerTo({ top: 40 })).hits[3];
    await page.goto(`/?item=${id}`);
    await settled(page);
    const asked = page.waitForRequest("**/search");
    await searchFor(page, "at night - people - cars + black-and-white");
    const { add, subtract, item, query } = (await asked).postDataJSON();
    assert.deepEqual([item, query], [id, undefined]);
    assert.deepEqual([add, subtract], [["at night", "black-and-white"], ["people", "cars"]]);
    await assertShows(page, await answerTo({ item: id, add, subtract, top: SHOWN }));
  }));

test("filters narrow the photos, are named beside them, and can be removed", () =>
  withPage(async (page) => {
    for (const orientation of ["portrait", "landscape", "square"]) {
      await page.click("#filter-button");
      await page.click(`#filters label:has([value=${orientation}])`);
      await page.click("#filters [type=submit]");
      await settled(page);
      assert.equal(parameter(page, "orientation"), orientation);
      assert.deepEqual(await page.locator(".chip").allTextContents(), [orientation]);
      await assertShows(page, await answerTo({ filter: { orientation }, top: SHOWN }));
    }
    await page.click(".chip");
    await settled(page);
    const { path, id } = (await answerTo({ top: 40 })).hits[20];
    await page.click("#filter-button");
    await page.fill("#filters [name=path]", path.split("/").pop());
    await page.press("#filters [name=path]", "Enter");
    await settled(page);
    assert.ok((await idsShown(page)).includes(id));
    assert.ok(await page.isHidden("#filters"));
    await page.click(".chip");
    await settled(page);
    await assertShows(page, await answerTo({ top: SHOWN }));
  }));

test("oldest first is the order of the server", () =>
  withPage(async (page) => {
    await page.selectOption("#sort", "oldest");
    await settled(page);
    await assertShows(page, await answerTo({ sort: "oldest", top: SHOWN }));
  }));

test("a photo opens with its record and neighbours, and the overlay shows which parts match", () =>
  withPage(async (page) => {
    await searchFor(page, "dog");
    const [id] = await idsShown(page);
    await page.click(first);
    await page.locator("#neighbours .tile >> nth=5").waitFor();
    const item = await (await page.request.get(`/items/${id}`)).json();
    assert.ok((await page.textContent("#record")).includes(item.path));
    const neighbours = idsOf(await answerTo({ item: id, top: 13 })).filter((other) => other !== id).slice(0, 12);
    const shown = await page.$$eval("#neighbours .tile", (tiles) => tiles.map((tile) => new URL(tile.href).searchParams.get("photo")));
    assert.deepEqual(shown, neighbours);

    assert.ok(await page.isHidden("#heat"));
    await page.click("#why-button");
    await page.locator("#heat").waitFor();
    assert.ok(await page.isVisible("#legend"));
    assert.equal(await page.textContent("#why-button"), "Hide");
    assert.match(await page.textContent("#why-says"), /^“dog” matches most at the (top|bottom|left|right|middle)/);
    const { rows, columns, cells } = await (await page.request.get(`/items/${id}/why?query=dog`)).json();
    const warmth = (cell) => page.$eval("#heat", (heat, [x, y]) => {
      const [red, , blue, alpha] = heat.getContext("2d").getImageData(x * heat.width, y * heat.height, 1, 1).data;
      return ((red - blue) * alpha) / 255;
    }, [((cell % columns) + 0.5) / columns, (Math.floor(cell / columns) + 0.5) / rows]);
    const [most, least] = [Math.max(...cells), Math.min(...cells)].map((value) => cells.indexOf(value));
    assert.ok((await warmth(most)) > (await warmth(least)) + 20, "the cell that matches most is the warmest");
    const boxes = await Promise.all(["#heat", "#photo"].map((part) => page.locator(part).boundingBox()));
    assert.deepEqual(boxes[0], boxes[1]);

    await page.click("#following");
    await page.locator("#heat").waitFor();
    await page.click("#why-button");
    assert.ok(await page.isHidden("#heat"));
  }));

test("the overlay of an expression offers its terms one by one", () =>
  withPage(async (page) => {
    await searchFor(page, '(dog OR "red ball") AND NOT snow');
    await page.click(first);
    assert.deepEqual(await page.locator("#why-terms button").allTextContents(), ["dog", '"red ball"', "snow"]);
    await page.click("#why-terms button >> nth=1");
    await page.locator("#heat").waitFor();
    await page.click("#why-button");
    assert.ok(await page.isHidden("#heat"));
    await page.fill("#why-words", "dog AND snow");
    await page.press("#why-words", "Enter");
    await page.waitForFunction(() => document.getElementById("why-says").textContent.length > 10);
    assert.ok(await page.isHidden("#heat"));
  }));

test("everything can be done with the keyboard", () =>
  withPage(async (page) => {
    await page.keyboard.press("/");
    await page.keyboard.type("people");
    await page.keyboard.press("Enter");
    await settled(page);
    for (let tabs = 0; tabs < 15 && (await focusedIndex(page)) < 0; tabs++) await page.keyboard.press("Tab");
    assert.equal(await focusedIndex(page), 0);
    const after = async (key) => { await page.keyboard.press(key); return focusedIndex(page); };
    assert.equal(await after("ArrowRight"), 1);
    const below = await after("ArrowDown");
    assert.ok(below > 1);
    assert.equal(await after("ArrowUp"), 1);
    const end = await after("End");
    assert.ok(end > 0 && end < below + 2);
    assert.equal(await after("Home"), 0);
    assert.ok((await after("Control+End")) >= 30);
    assert.equal(await after("Control+Home"), 0);
    await page.keyboard.press("Enter");
    await page.locator("#detail[open]").waitFor();
    assert.match(await page.textContent("#place"), /^Photo 1/);
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(() => document.getElementById("place").textContent.startsWith("Photo 2"));
    await page.keyboard.press("Escape");
    await page.locator("#detail").waitFor({ state: "hidden" });
    // The dialog gives the focus back after it has closed.
    await page.waitForFunction(() => document.activeElement.dataset.index === "1");
    await page.waitForURL((url) => !url.searchParams.has("photo"));
  }));

test("back, forward and sharing work", () =>
  withPage(async (page) => {
    await searchFor(page, "dog");
    await searchFor(page, "water");
    const water = await idsShown(page);
    await page.click(first);
    await page.locator("#detail[open]").waitFor();
    const shared = page.url();
    await page.goBack();
    await page.locator("#detail").waitFor({ state: "hidden" });
    assert.equal(await page.inputValue("#query"), "water");
    await page.goBack();
    await settled(page);
    assert.equal(await page.inputValue("#query"), "dog");
    await assertShows(page, await answerTo({ query: "dog", top: SHOWN }));
    await page.goForward();
    await settled(page);
    assert.deepEqual(await idsShown(page), water);

    await page.goto(shared);
    await page.locator("#detail[open]").waitFor();
    await settled(page);
    await page.click("#neighbours .tile >> nth=0");
    await page.waitForURL((url) => url.searchParams.get("photo") !== water[0]);
    await page.click("#close");
    await page.waitForURL((url) => !url.searchParams.has("photo") || url.searchParams.get("photo") === water[0]);
    assert.equal(parameter(page, "q"), "water");
  }));

test("closing a photo that was opened by its neighbour goes back to the grid", () =>
  withPage(async (page) => {
    await page.click(first);
    await page.click("#neighbours .tile >> nth=0");
    await page.click("#neighbours .tile >> nth=0");
    await page.click("#close");
    await page.waitForURL((url) => !url.searchParams.has("photo"));
    await page.locator("#detail").waitFor({ state: "hidden" });
  }));

test("HTML in captions, paths and tags is shown as text", () => {
  const evil = '<img src=x onerror="window.hit=1"><b>bold</b>';
  const item = { ...hit("1", { caption: evil, path: `/photos/${evil}.jpg` }), size: 10, modified: null, camera: evil, tags: [evil] };
  const search = answering({ hits: [hit("1", { ...item, probability: 0.5 })], next: null });
  const routes = { "**/search": search, "**/items/1": answering(item), "**/items/1/*": picture };
  return withPage(async (page) => {
    await searchFor(page, "dog");
    assert.equal(await page.getAttribute(`${first} >> img`, "alt"), evil);
    assert.equal(await page.textContent(`${first} >> .text`), evil);
    await page.click(first);
    await page.locator("#record .tag").waitFor();
    assert.equal(await page.textContent("#caption"), evil);
    assert.equal(await page.textContent("#record .tag"), evil);
    assert.equal(await page.evaluate(() => document.querySelectorAll("b, [onerror]").length - document.querySelectorAll("#help b").length), 0);
    assert.equal(await page.evaluate(() => window.hit), undefined);
  }, { routes });
});

test("a token is asked for, sent with everything, and kept", () => {
  const refused = { error: { message: "a token is wanted", type: "authentication_error", param: null, code: "unauthorized" } };
  const guard = (route) =>
    route.request().headers().authorization === "Bearer secret" ? route.fallback() : answering(refused, 401)(route);
  const routes = Object.fromEntries(["search", "items/**", "filters", "health"].map((path) => [`**/${path}`, guard]));
  return withPage(async (page) => {
    const enter = async (token) => { await page.fill("#token-input", token); await page.press("#token-input", "Enter"); };
    await page.locator("#token[open]").waitFor();
    await enter("wrong");
    await page.waitForFunction(() => document.getElementById("token-refused").textContent);
    await enter("secret");
    await settled(page);
    await page.locator(`${first} >> img[src^="blob:"]`).waitFor();
    await page.waitForFunction(() => document.querySelector("#grid img").naturalWidth > 0);
    await page.reload();
    await settled(page);
    assert.ok(await page.isHidden("#token"));
    await page.click(first);
    await page.locator('#photo[src^="blob:"]').waitFor();
  }, { routes, waits: false });
});

test("an answer that comes too late is dropped", () => {
  const search = async (route) => {
    const { query = "all" } = route.request().postDataJSON();
    if (query === "slow") await new Promise((resolve) => setTimeout(resolve, 700));
    await answering({ hits: [hit(query)], next: null })(route).catch(() => {});
  };
  return withPage(async (page) => {
    await page.fill("#query", "slow");
    await page.press("#query", "Enter");
    await searchFor(page, "fast");
    assert.deepEqual(await idsShown(page), ["fast"]);
    await page.waitForTimeout(1000);
    assert.deepEqual(await idsShown(page), ["fast"]);
  }, { routes: { "**/search": search, "**/items/**": picture } });
});

test("of 100,000 photos only those near the screen are in the document", () => {
  const [all, each] = [100_000, 5_000];
  const search = (route) => {
    const from = Number(route.request().postDataJSON().after ?? 0);
    const hits = Array.from({ length: each }, (_, at) => hit(from + at, { width: 300 + ((from + at) * 37) % 400 }));
    return answering({ hits, next: from + each < all ? String(from + each) : null })(route);
  };
  return withPage(async (page) => {
    await page.waitForFunction((last) => {
      scrollTo(0, document.body.scrollHeight);
      return document.querySelector(`[data-index="${last}"]`);
    }, all - 1);
    assert.equal(await page.textContent("#status"), "100,000 photos");
    assert.ok((await idsShown(page)).length < 200);
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight / 2));
    await page.waitForFunction(() => document.elementFromPoint(400, 400)?.closest(".tile"));
    assert.ok((await idsShown(page)).length < 200);
    await page.focus(first);
    await page.keyboard.press("Control+Home");
    assert.equal(await focusedIndex(page), 0);
  }, { routes: { "**/search": search, "**/items/**": picture, "**/health": answering({ status: "ok", photos: all, model: "none" }) } });
});

test("on a phone nothing scrolls sideways", () => {
  const narrow = async (page, what) => {
    const wide = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll("dialog[open], :popover-open, .facts")]
      .filter((part) => part.scrollWidth > Math.max(part.clientWidth, 1)).map((part) => `${part.tagName} ${part.id}: ${part.scrollWidth}`));
    assert.deepEqual(wide, [], what);
  };
  return withPage(async (page) => {
    await narrow(page, "the grid");
    for (const button of ["#ask", "#filter-button"]) {
      await page.click(button);
      await narrow(page, button);
      await page.keyboard.press("Escape");
    }
    await searchFor(page, "dog AND (a".padEnd(200, "nowordbreaks"));
    await narrow(page, "an error");
    await searchFor(page, "dog");
    await narrow(page, "results");
    await page.click(first);
    await page.click("#why-button");
    await page.locator("#heat").waitFor();
    await page.locator("#neighbours .tile >> nth=5").waitFor();
    await narrow(page, "a photo");
  }, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
});
