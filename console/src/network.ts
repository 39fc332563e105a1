// The drawing of a network on a canvas: at most 5,000 elements, drawn anew in one frame when something
// changes and not otherwise. What is where comes from the server; here is only what is seen of it.
import type { Schemas } from "./api";

export type Element = Schemas["GraphElement"];
export interface Camera {
  x: number;
  y: number;
  k: number; // 1: the whole campaign fits
}
export interface Told {
  select: (id: string | undefined) => void;
  toggle: (id: string) => void;
  moved: (camera: Camera) => void; // once a movement has ended
}

const LABELS = 160;
const K_MIN = 0.5;
const K_MAX = 4000;

interface Colours {
  ink: string;
  soft: string;
  line: string;
  card: string;
  hover: string;
  accent: string;
  bad: string;
  value: string;
  template: string;
}

export class Drawing {
  private elements: Element[] = [];
  private links: number[] = [];
  private at = new Map<string, number>();
  private selected = -1;
  private camera: Camera = { x: 0, y: 0, k: 1 };
  private width = 1;
  private height = 1;
  private asked = 0;
  private ended = 0;
  private colours: Colours;
  private pointers = new Map<number, { x: number; y: number }>();
  private dragged = false;
  private readonly off = new AbortController();
  private readonly sizes: ResizeObserver;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly told: Told,
  ) {
    this.colours = this.theme();
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(canvas);
    const on = <K extends keyof HTMLElementEventMap>(name: K, act: (e: HTMLElementEventMap[K]) => void, passive = true) =>
      canvas.addEventListener(name, act, { signal: this.off.signal, passive });
    on("pointerdown", (e) => this.down(e));
    on("pointermove", (e) => this.move(e));
    on("pointerup", (e) => this.up(e));
    on("pointercancel", (e) => this.pointers.delete(e.pointerId));
    on("dblclick", (e) => {
      const i = this.hit(e.offsetX, e.offsetY);
      if (i >= 0 && this.elements[i]!.kind === "cluster") this.told.toggle(this.elements[i]!.id);
    });
    // The page scrolls past a canvas that nobody works in.
    on(
      "wheel",
      (e) => {
        if (document.activeElement !== canvas && !e.ctrlKey) return;
        e.preventDefault();
        this.zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY);
      },
      false,
    );
    matchMedia("(prefers-color-scheme: dark)").addEventListener(
      "change",
      () => {
        this.colours = this.theme();
        this.ask();
      },
      { signal: this.off.signal },
    );
  }

  close(): void {
    this.off.abort();
    this.sizes.disconnect();
    cancelAnimationFrame(this.asked);
    clearTimeout(this.ended);
  }

  show(elements: Element[], links: number[]): void {
    this.elements = elements;
    this.links = links;
    const chosen = this.chosen();
    this.at = new Map(elements.map((e, i) => [e.id, i]));
    this.selected = chosen ? (this.at.get(chosen) ?? -1) : -1;
    this.ask();
  }

  choose(id: string | undefined): void {
    this.selected = id === undefined ? -1 : (this.at.get(id) ?? -1);
    this.ask();
  }
  chosen = (): string | undefined => this.elements[this.selected]?.id;
  has = (id: string): boolean => this.at.has(id);

  look(camera: Camera): void {
    this.camera = { ...camera };
    this.ask();
  }
  fit(): void {
    this.look({ x: 0, y: 0, k: 1 });
    this.rest();
  }
  // So near that the element fills a third of the canvas, or as it is when it is seen well enough.
  goto(id: string): void {
    const e = this.elements[this.at.get(id) ?? -1];
    if (!e) return;
    const wanted = e.kind === "cluster" && e.open ? 0.9 : 0.12;
    const size = (2 * e.r * this.scale()) / Math.min(this.width, this.height);
    const [x, y] = this.toScreen(e.x, e.y);
    const inside = x > 0 && y > 0 && x < this.width && y < this.height;
    if (inside && size >= wanted / 3 && size <= wanted * 1.5) return;
    this.look({ x: e.x, y: e.y, k: clamp(wanted / e.r) });
    this.rest();
  }
  zoom(by: number, x = this.width / 2, y = this.height / 2): void {
    const [wx, wy] = this.toWorld(x, y);
    this.camera.k = clamp(this.camera.k * by);
    const [nx, ny] = this.toWorld(x, y);
    this.camera.x += wx - nx;
    this.camera.y += wy - ny;
    this.ask();
    this.rest();
  }
  pan(dx: number, dy: number): void {
    const s = this.scale();
    this.camera.x -= dx / s;
    this.camera.y -= dy / s;
    this.ask();
    this.rest();
  }

  // The nearest element in a direction; from nowhere the largest.
  next(dx: number, dy: number): string | undefined {
    const from = this.elements[this.selected];
    let best: Element | undefined;
    let least = Infinity;
    for (const e of this.elements) {
      if (e === from || e.open) continue;
      let far: number;
      if (!from) {
        far = -e.r;
      } else {
        const x = e.x - from.x;
        const y = e.y - from.y;
        const along = x * dx + y * dy;
        if (along <= 0) continue;
        const aside = Math.abs(x * dy - y * dx);
        if (aside > along * 1.5) continue;
        far = along + 2 * aside;
      }
      if (far < least) {
        least = far;
        best = e;
      }
    }
    return best?.id;
  }

  private scale = () => (this.camera.k * Math.min(this.width, this.height)) / 2.1;
  private toScreen(x: number, y: number): [number, number] {
    const s = this.scale();
    return [(x - this.camera.x) * s + this.width / 2, (y - this.camera.y) * s + this.height / 2];
  }
  private toWorld(x: number, y: number): [number, number] {
    const s = this.scale();
    return [(x - this.width / 2) / s + this.camera.x, (y - this.height / 2) / s + this.camera.y];
  }

  private theme(): Colours {
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(name).trim();
    return { ink: of("--ink"), soft: of("--soft"), line: of("--line"), card: of("--card"), hover: of("--hover"), accent: of("--accent"), bad: of("--bad"), value: of("--bar1"), template: of("--bar2") };
  }
  private resize(): void {
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.width = Math.max(1, this.canvas.clientWidth);
    this.height = Math.max(1, this.canvas.clientHeight);
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.canvas.getContext("2d")!.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }
  private ask(): void {
    if (!this.asked) this.asked = requestAnimationFrame(() => this.draw());
  }
  private rest(): void {
    clearTimeout(this.ended);
    this.ended = window.setTimeout(() => this.told.moved({ ...this.camera }), 250);
  }

  private hit(x: number, y: number): number {
    const [wx, wy] = this.toWorld(x, y);
    const slack = 4 / this.scale();
    // What is drawn later lies above.
    for (let i = this.elements.length - 1; i >= 0; --i) {
      const e = this.elements[i]!;
      if (!e.open && (e.x - wx) ** 2 + (e.y - wy) ** 2 <= (e.r + slack) ** 2) return i;
    }
    for (let i = this.elements.length - 1; i >= 0; --i) {
      const e = this.elements[i]!;
      if (e.open && (e.x - wx) ** 2 + (e.y - wy) ** 2 <= e.r ** 2) return i;
    }
    return -1;
  }
  private down(e: PointerEvent): void {
    this.canvas.setPointerCapture(e.pointerId);
    this.pointers.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
    this.dragged = false;
  }
  private move(e: PointerEvent): void {
    const from = this.pointers.get(e.pointerId);
    if (!from) return;
    const dx = e.offsetX - from.x;
    const dy = e.offsetY - from.y;
    if (!this.dragged && Math.hypot(dx, dy) < 4) return;
    this.dragged = true;
    const other = [...this.pointers].find(([id]) => id !== e.pointerId)?.[1];
    if (other) {
      const before = Math.hypot(from.x - other.x, from.y - other.y);
      const now = Math.hypot(e.offsetX - other.x, e.offsetY - other.y);
      if (before > 0) this.zoom(now / before, (e.offsetX + other.x) / 2, (e.offsetY + other.y) / 2);
    } else {
      this.pan(dx, dy);
    }
    this.pointers.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
  }
  private up(e: PointerEvent): void {
    if (!this.pointers.delete(e.pointerId) || this.dragged) return;
    const i = this.hit(e.offsetX, e.offsetY);
    this.told.select(i < 0 ? undefined : this.elements[i]!.id);
  }

  private draw(): void {
    this.asked = 0;
    const c = this.canvas.getContext("2d");
    if (!c) return;
    const { width, height, colours } = this;
    const s = this.scale();
    const ox = width / 2 - this.camera.x * s;
    const oy = height / 2 - this.camera.y * s;
    const seen = (x: number, y: number, r: number) => x + r > 0 && y + r > 0 && x - r < width && y - r < height;
    c.clearRect(0, 0, width, height);
    c.lineWidth = 1;
    // Clusters that are open: a ground to stand on.
    c.fillStyle = colours.hover;
    c.strokeStyle = colours.line;
    for (const e of this.elements) {
      if (!e.open) continue;
      const x = e.x * s + ox;
      const y = e.y * s + oy;
      if (!seen(x, y, e.r * s)) continue;
      c.beginPath();
      c.arc(x, y, e.r * s, 0, 7);
      c.fill();
      c.stroke();
    }
    // Links: one path for all, one for those of the chosen one.
    const near = new Set<number>();
    c.globalAlpha = 0.45;
    c.strokeStyle = colours.soft;
    c.beginPath();
    for (let l = 0; l < this.links.length; l += 3) {
      const a = this.links[l]!;
      const b = this.links[l + 1]!;
      if (a === this.selected || b === this.selected) {
        near.add(a === this.selected ? b : a);
        continue;
      }
      const p = this.elements[a]!;
      const q = this.elements[b]!;
      const x0 = p.x * s + ox, y0 = p.y * s + oy, x1 = q.x * s + ox, y1 = q.y * s + oy;
      if (Math.max(x0, x1) < 0 || Math.max(y0, y1) < 0 || Math.min(x0, x1) > width || Math.min(y0, y1) > height) continue;
      c.moveTo(x0, y0);
      c.lineTo(x1, y1);
    }
    c.stroke();
    c.globalAlpha = 1;
    const chosen = this.elements[this.selected];
    if (chosen) {
      c.strokeStyle = colours.accent;
      c.lineWidth = 1.5;
      c.beginPath();
      for (const i of near) {
        const q = this.elements[i]!;
        c.moveTo(chosen.x * s + ox, chosen.y * s + oy);
        c.lineTo(q.x * s + ox, q.y * s + oy);
      }
      c.stroke();
    }
    // Elements, each shape and colour in one path: discs, diamonds for values, squares for templates.
    const groups: [string, (e: Element) => boolean][] = [
      [colours.card, (e) => e.kind === "cluster"],
      [colours.soft, (e) => e.kind === "account" && e.accused === 0],
      [colours.bad, (e) => e.kind === "account" && e.accused > 0],
      [colours.value, (e) => e.kind === "value"],
      [colours.template, (e) => e.kind === "template"],
    ];
    for (const [colour, of] of groups) {
      c.fillStyle = colour;
      c.beginPath();
      for (const e of this.elements) {
        if (e.open || !of(e)) continue;
        const r = Math.max(1.2, e.r * s);
        const x = e.x * s + ox;
        const y = e.y * s + oy;
        if (!seen(x, y, r)) continue;
        if (e.kind === "value") {
          c.moveTo(x, y - r);
          c.lineTo(x + r, y);
          c.lineTo(x, y + r);
          c.lineTo(x - r, y);
          c.closePath();
        } else if (e.kind === "template") {
          c.rect(x - 0.8 * r, y - 0.8 * r, 1.6 * r, 1.6 * r);
        } else {
          c.moveTo(x + r, y);
          c.arc(x, y, r, 0, 7);
        }
      }
      c.fill();
    }
    // Of a closed cluster: its edge, and how much of it is accused.
    c.lineWidth = 1.5;
    c.strokeStyle = colours.soft;
    c.beginPath();
    for (const e of this.elements) {
      if (e.open || e.kind !== "cluster") continue;
      const r = Math.max(2, e.r * s);
      const x = e.x * s + ox;
      const y = e.y * s + oy;
      c.moveTo(x + r, y);
      c.arc(x, y, r, 0, 7);
    }
    c.stroke();
    c.strokeStyle = colours.bad;
    c.beginPath();
    for (const e of this.elements) {
      if (e.open || e.kind !== "cluster" || e.accused === 0 || e.accounts === 0) continue;
      const r = Math.max(2, e.r * s);
      const x = e.x * s + ox;
      const y = e.y * s + oy;
      c.moveTo(x, y - r);
      c.arc(x, y, r, -Math.PI / 2, -Math.PI / 2 + (2 * Math.PI * e.accused) / e.accounts);
    }
    c.lineWidth = 3;
    c.stroke();
    if (chosen) {
      c.strokeStyle = colours.accent;
      c.lineWidth = 3;
      c.beginPath();
      c.arc(chosen.x * s + ox, chosen.y * s + oy, Math.max(3, chosen.r * s) + 3, 0, 7);
      c.stroke();
    }
    this.labels(c, s, ox, oy, near);
  }

  private labels(c: CanvasRenderingContext2D, s: number, ox: number, oy: number, near: Set<number>): void {
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.lineWidth = 3;
    c.strokeStyle = this.colours.card;
    c.fillStyle = this.colours.ink;
    const taken: [number, number, number][] = [];
    let left = LABELS;
    const say = (e: Element, always: boolean) => {
      const r = e.r * s;
      const x = e.x * s + ox;
      const y = e.open ? (e.y - e.r) * s + oy - 8 : r > 26 ? e.y * s + oy : e.y * s + oy + r + 9;
      if (x < 0 || y < 0 || x > this.width || y > this.height) return;
      const room = Math.max(90, 2 * r);
      let text = e.kind === "cluster" ? `${e.label} (${e.accounts || e.links})` : e.label;
      if (text.length * 6.2 > room) text = `${text.slice(0, Math.max(4, Math.floor(room / 6.2) - 1))}…`;
      const half = text.length * 3.1;
      if (!always && taken.some(([tx, ty, th]) => Math.abs(ty - y) < 14 && Math.abs(tx - x) < half + th)) return;
      taken.push([x, y, half]);
      c.strokeText(text, x, y);
      c.fillText(text, x, y);
      --left;
    };
    const chosen = this.elements[this.selected];
    if (chosen) say(chosen, true);
    for (const i of near) if (left > LABELS - 40) say(this.elements[i]!, false);
    for (const e of this.elements) {
      if (left <= 0) break;
      const r = e.r * s;
      if (e !== chosen && (e.open ? r > 40 : r > (e.kind === "cluster" || e.kind === "template" ? 9 : 11))) say(e, false);
    }
  }
}

const clamp = (k: number) => Math.min(K_MAX, Math.max(K_MIN, k));
