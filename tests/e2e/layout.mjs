// How alike two screenshots are laid out, told in a way that fonts, anti-aliasing, times and counts
// do not change much: both are shrunk to a grid of cells, each as light as what it holds, and a cell
// that finds its like within one cell around it in the other picture is alike.
export const COLUMNS = 64;
const DIFFERENT = 10; // of 255, between the means of two cells

// Decoded and shrunk in the browser's own canvas: `page` is one on about:blank.
export async function grid(page, png) {
  return page.evaluate(
    async ([data, columns]) => {
      const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
      const rows = Math.round((columns * image.height) / image.width);
      // Halved until near the size: the canvas's own smoothing looks at few pixels only.
      let from = image;
      let [width, height] = [image.width, image.height];
      while (width / 2 >= columns) {
        [width, height] = [Math.ceil(width / 2), Math.ceil(height / 2)];
        const next = new OffscreenCanvas(width, height);
        next.getContext("2d").drawImage(from, 0, 0, width, height);
        from = next;
      }
      const canvas = new OffscreenCanvas(columns, rows);
      const draw = canvas.getContext("2d");
      draw.drawImage(from, 0, 0, columns, rows);
      const pixels = draw.getImageData(0, 0, columns, rows).data;
      const cells = [];
      for (let i = 0; i < pixels.length; i += 4) cells.push(0.2126 * pixels[i] + 0.7152 * pixels[i + 1] + 0.0722 * pixels[i + 2]);
      return { columns, rows, cells };
    },
    [png.toString("base64"), COLUMNS],
  );
}

// The share of cells of either that have no like in the other.
export function difference(a, b) {
  if (a.rows !== b.rows) return 1;
  const missing = (one, other) => {
    let n = 0;
    for (let y = 0; y < one.rows; ++y) {
      for (let x = 0; x < one.columns; ++x) {
        const cell = one.cells[y * one.columns + x];
        let least = Infinity;
        for (let v = Math.max(0, y - 1); v <= Math.min(one.rows - 1, y + 1); ++v) for (let u = Math.max(0, x - 1); u <= Math.min(one.columns - 1, x + 1); ++u) least = Math.min(least, Math.abs(cell - other.cells[v * one.columns + u]));
        if (least > DIFFERENT) ++n;
      }
    }
    return n / one.cells.length;
  };
  return Math.max(missing(a, b), missing(b, a));
}
