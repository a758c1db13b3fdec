"""The HTML of an explorer: one script for words, pictures and videos."""

from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  :root {
    color-scheme: light dark;
    background: Canvas;
    --most: light-dark(#ffb74d, #2462a6); /* behind CanvasText: 4.5 : 1 */
  }
  body { font-family: sans-serif; margin: 1.5rem; line-height: 1.5; }
  h1 { font-size: 1.4rem; margin: 0 0 0.5rem; }
  h2 { font-size: 1.1rem; margin: 0; }
  .views {
    display: grid; gap: 2rem; margin-top: 1.5rem;
    grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr));
  }
  figure { margin: 0; display: flex; flex-direction: column; gap: 0.5rem; }
  .wide { grid-column: 1 / -1; max-width: 60rem; }
  .sides { display: grid; gap: 0.5rem min(3vw, 1.5rem); }
  .abreast { grid-template-columns: 1fr 1fr; align-items: end; }
  .label { margin: 0; font-size: 0.9rem; font-weight: bold; }
  .strip {
    display: grid; gap: 0.25rem; cursor: crosshair;
    grid-template-columns: repeat(  /* 8 at most */
      auto-fill, minmax(max(5rem, 12.5% - 0.25rem), 1fr));
  }
  .one { grid-template-columns: minmax(0, 28rem); }
  .picture { position: relative; }
  .picture img { display: block; width: 100%; }
  .sharp { image-rendering: pixelated; }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
  .cell {
    position: absolute; box-sizing: border-box; pointer-events: none;
    border: 2px solid $colour; outline: 1px solid white;
  }
  .words { margin: 0; }
  button {
    font: inherit; color: inherit; cursor: pointer; border: 0;
    border-radius: 0.25rem; padding: 0.1rem 0.25rem; overflow-wrap: anywhere;
    background: color-mix(in srgb, var(--most) var(--lit, 0%), Canvas);
  }
  .shown { background: CanvasText; color: Canvas; }
  select { font: inherit; max-width: 100%; }
  output { display: block; min-height: 3em; font-size: 0.9rem; }
  ul { margin: 0.25rem 0 0; padding-left: 1.25rem; }
</style>
<main>
<h1>$title</h1>
<p>Point at $items, touch it, or move to it with Tab and the arrow keys: what
it reads, or what reads it, lights up.$pictures Escape ends it.</p>
<noscript><p>This takes JavaScript, which is off: pictures and words are shown
without it.</p></noscript>
<div class="views">
$figures
</div>
</main>
<script>
  const TOLD = 3;  // of what is read, in words
  function decoded(text, Numbers) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    // Millions: `Uint8Array.from` takes a second.
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return new Numbers(bytes.buffer);
  }
  // down (height, rows) times scores (rows, columns) times across, which is
  // (width, columns), transposed.
  function enlarged(down, scores, across, rows, columns) {
    const height = down.length / rows, width = across.length / columns;
    const map = new Float64Array(height * width);
    const line = new Float64Array(columns);
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < columns; c++) {
        line[c] = 0;
        for (let r = 0; r < rows; r++) {
          line[c] += down[y * rows + r] * scores[r * columns + c];
        }
      }
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < columns; c++) {
          map[y * width + x] += line[c] * across[x * columns + c];
        }
      }
    }
    return map;
  }
  function draw(canvas, map, most) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    map.forEach((value, i) => {
      image.data.fill(255 * value / most, 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255 * $opacity;
    });
    context.putImageData(image, 0, 0);
  }
  const highest = (values) => values.reduce((a, b) => Math.max(a, b), 0) || 1;
  // What reads or what is read: words, and after them cells of pictures.
  class Side {
    constructor(element) {
      this.element = element;
      this.words = [...element.querySelectorAll("button")];
      this.strip = element.querySelector(".strip");
      this.pictures = [...element.querySelectorAll(".picture")];
      this.grid = JSON.parse(this.strip?.dataset.grid ?? "[0, 0, 0]");
      const [times, rows, columns] = this.grid;
      this.length = this.words.length + times * rows * columns;
      this.last = this.words.length;  // the cell that was pointed at
      if (this.strip) {
        this.down = decoded(this.strip.dataset.down, Uint16Array);
        this.across = decoded(this.strip.dataset.across, Uint16Array);
      }
    }
    place(index) {
      const [, rows, columns] = this.grid, cell = index - this.words.length;
      return [Math.floor(cell / rows / columns),
              Math.floor(cell / columns) % rows, cell % columns];
    }
    index(time, row, column) {
      const [, rows, columns] = this.grid;
      return this.words.length + (time * rows + row) * columns + column;
    }
    time(picture) {
      return Math.floor(picture * this.grid[0] / this.pictures.length);
    }
    pointed(picture, {clientX, clientY}) {
      const box = this.pictures[picture].getBoundingClientRect();
      const [, rows, columns] = this.grid;
      const at = (share, cells) =>
        Math.min(cells - 1, Math.max(0, Math.floor(share * cells)));
      return this.index(
        this.time(picture), at((clientY - box.top) / box.height, rows),
        at((clientX - box.left) / box.width, columns));
    }
    moved(index, key) {
      let [time, row, column] = this.place(index);
      const [times, rows, columns] = this.grid;
      if (key === "ArrowUp") row = Math.max(0, row - 1);
      if (key === "ArrowDown") row = Math.min(rows - 1, row + 1);
      const step = (key === "ArrowRight") - (key === "ArrowLeft");
      column += step;
      if (column < 0 || column >= columns) {  // on to the frame beside
        time += step;
        if (time < 0 || time >= times) return index;
        column = step > 0 ? 0 : columns - 1;
      }
      return this.index(time, row, column);
    }
    name(index) {
      if (index < this.words.length) return this.words[index].textContent;
      const [time, row, column] = this.place(index);
      const [times, rows, columns] = this.grid;
      const each = this.pictures.length / times, parts = [];
      if (each > 1) {
        parts.push("frames " + each * time + " to " + (each * time + each - 1));
      } else if (times > 1) parts.push("frame " + time);
      if (rows * columns > 1) parts.push("row " + row, "column " + column);
      return parts.join(" ") || "the picture";
    }
    light(values) {
      const most = highest(values ?? []);
      this.words.forEach((word, i) => word.style.setProperty(
        "--lit", 100 * (values?.[i] ?? 0) / most + "%"));
      this.pictures.forEach((x) => {
        x.querySelector("canvas").hidden = !values;
      });
      if (!values || !this.strip) return;
      const [times, rows, columns] = this.grid;
      const maps = Array.from({length: times}, (_, time) => enlarged(
        this.down, values.slice(this.index(time, 0, 0)), this.across,
        rows, columns));
      const white = highest(maps.map(highest));
      this.pictures.forEach((x, i) => draw(
        x.querySelector("canvas"), maps[this.time(i)], white));
    }
    mark(index) {
      this.words.forEach((x, i) => x.classList.toggle("shown", i === index));
      const [time, row, column] = this.place(index);
      const [, rows, columns] = this.grid;
      this.pictures.forEach((x, i) => {
        const cell = x.querySelector(".cell");
        cell.hidden = index < this.words.length || this.time(i) !== time;
        cell.style.left = 100 * column / columns + "%";
        cell.style.top = 100 * row / rows + "%";
        cell.style.width = 100 / columns + "%";
        cell.style.height = 100 / rows + "%";
      });
    }
  }
  document.querySelectorAll("figure").forEach((figure, number) => {
    const view = JSON.parse(figure.querySelector("script").textContent);
    const sides = [".query", ".key"].map(
      (x) => new Side(figure.querySelector(x)));
    const [queries, keys] = sides, kept = [];
    const choice = figure.querySelector("select");
    const output = figure.querySelector("output");
    let pinned;  // what is shown while nothing is pointed at
    function scores({side, index}) {
      const chosen = choice ? choice.selectedIndex : 0;
      kept[chosen] ??= [decoded(view.maps[chosen][0], Uint8Array),
                        decoded(view.maps[chosen][1], Float32Array)];
      const [steps, most] = kept[chosen];
      return Array.from({length: sides[1 - side].length}, (_, i) => {
        const [query, key] = side ? [i, index] : [index, i];
        const value = steps[query * keys.length + key] * most[query] / 255;
        // As many digits as steps of 1/255 of a query's highest tell.
        const size = Math.floor(Math.log10(most[query] || 1));
        const digits = Math.max(2, 1 - size);
        return {value, text: value.toFixed(digits), other: i};
      });
    }
    function told({side, index}, found) {
      const read = found.filter((x) => Number(x.text))
        .sort((a, b) => b.value - a.value).slice(0, TOLD)
        .map((x) => sides[1 - side].name(x.other) + " (" + x.text + ")");
      const notes = [(read.join(", ") || "nothing")];
      if (!side && view.notes[index]) notes.push(view.notes[index]);
      if (marked({side, index}) >= 0) {
        notes.push("drawn: " + keys.name(marked({side, index})));
      }
      return sides[side].name(index) + (side ? " is read by " : " reads ") +
        notes.join("; ");
    }
    // What hard attention read instead of all that it could have.
    const marked = (at) => (at?.side === 0 ? view.marked[at.index] : -1) ?? -1;
    function show(at = pinned) {
      const found = at && scores(at);
      sides.forEach((side, i) => {
        const own = at?.side === i;
        side.mark(own ? at.index : i ? marked(at) : -1);
        side.light(at && !own ? found.map((x) => x.value) : undefined);
      });
      output.value = at ? told(at, found) : "";
    }
    function pin(at) {
      pinned = at;
      show();
    }
    sides.forEach((side, i) => {
      side.words.forEach((word, index) => {
        word.onfocus = () => pin({side: i, index});
        word.onmouseenter = () => show({side: i, index});
        word.onclick = () => {
          word.focus();  // which a touch alone does not, in Safari
          pin({side: i, index});
        };
        word.onkeydown = ({key}) => {
          if (key === "ArrowLeft") side.words[index - 1]?.focus();
          if (key === "ArrowRight") side.words[index + 1]?.focus();
        };
      });
      side.element.onmouseleave = () => show();
      if (!side.strip) return;
      const pinCell = (index) => pin({side: i, index: side.last = index});
      side.pictures.forEach((picture, p) => {
        picture.onmousemove = (event) =>
          show({side: i, index: side.last = side.pointed(p, event)});
        picture.onclick = (event) => {
          side.strip.focus();
          pinCell(side.pointed(p, event));
        };
      });
      side.strip.onmouseleave = () => show();
      side.strip.onfocus = () => pinCell(side.last);
      side.strip.onkeydown = (event) => {
        if (!event.key.startsWith("Arrow")) return;
        event.preventDefault();  // which would scroll
        pinCell(side.moved(side.last, event.key));
      };
    });
    if (choice) choice.onchange = () => show();
    figure.onkeydown = ({key}) => { if (key === "Escape") pin(); };
    const link = location.hash.match(/^#(query|key)-(\\d+)-(\\d+)$$/);
    if (link && Number(link[2]) === number) {
      const side = sides[link[1] === "key" ? 1 : 0], index = Number(link[3]);
      if (index < side.length) {
        if (index >= side.words.length) side.last = index;
        (side.words[index] ?? side.strip).focus();
        pin({side: sides.indexOf(side), index});
      }
    }
  });
  // In another page: as high as what is shown, as light or dark as the page.
  const frame = window.frameElement;
  if (frame) {
    const root = document.documentElement;
    document.body.style.margin = "0.25rem";
    const around = frame.ownerDocument.documentElement;
    const follow = () => {
      const {colorScheme} = frame.ownerDocument.defaultView
        .getComputedStyle(frame);
      root.style.colorScheme = colorScheme === "normal" ? "" : colorScheme;
    };
    follow();
    new MutationObserver(follow).observe(around, {attributes: true});
    new ResizeObserver(() => {
      const {height} = root.getBoundingClientRect();
      frame.style.height = Math.ceil(height) + "px";
    }).observe(root);
  }
</script>
</html>
""")
FIGURE = Template("""<figure class="$size">
$title<div class="sides $layout">
$sides
</div>
$choice
<figcaption>
<output></output>
$references
</figcaption>
<script type="application/json">$data</script>
</figure>""")
SIDE = Template("""<div class="$kind">
$label$words$strip
</div>""")
STRIP = Template("""<div class="strip $one" tabindex="0" role="application"
 aria-label="$name: $number; arrow keys move over them" data-grid="$grid"
 data-down="$down" data-across="$across">
$pictures
</div>""")
PICTURE = Template("""<div class="picture"><img alt="$name"$small src="$source">
<canvas hidden aria-hidden="true"$nearest
 width="$width" height="$height"></canvas>
<div class="cell" hidden></div></div>""")
FRAME = Template(
    '<iframe title="$title" srcdoc="$page" style="width: 100%; height: 30rem; '
    'border: 0"></iframe>'
)
