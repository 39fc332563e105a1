// The network of a campaign: accounts in pools and what they share, as a drawing and as a list.
import { useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { Link } from "wouter";
import { get, type Schemas } from "../api";
import { useGet, useKeys, useUrl } from "../hooks";
import { Drawing, type Camera } from "../network";
import { minute, number, percent } from "../text";
import { AccountLink, Page, Pager, Show, Table, Verdict } from "../ui";
import { FIELDS, holdersUrl } from "./holders";
import "../graph.css";

type Graph = Schemas["Graph"];
type Row = Schemas["GraphNode"];
const LIMIT = 25;
const KINDS = ["cluster", "account", "value", "template"] as const;

const named = (e: { kind: string; field: string; label: string }) => (e.kind === "value" ? `${FIELDS[e.field] ?? e.field} ${e.label}` : e.label);

function cameraOf(text: string | null): Camera {
  const [x, y, k] = (text ?? "").split("_").map(Number);
  return Number.isFinite(x) && Number.isFinite(y) && k! > 0 ? { x: x!, y: y!, k: k! } : { x: 0, y: 0, k: 1 };
}

function Canvas({ graph, chosen, camera, select, toggle, moved, goto }: { graph: Graph; chosen?: string; camera: Camera; select: (id: string | undefined) => void; toggle: (id: string) => void; moved: (camera: Camera) => void; goto?: string }) {
  const ref = useRef<HTMLCanvasElement>(null);
  const drawing = useRef<Drawing>(undefined);
  const act = useRef({ select, toggle, moved });
  act.current = { select, toggle, moved };
  useEffect(() => {
    const d = new Drawing(ref.current!, {
      select: (id) => act.current.select(id),
      toggle: (id) => act.current.toggle(id),
      moved: (c) => act.current.moved(c),
    });
    drawing.current = d;
    d.look(camera);
    return () => d.close();
    // The camera of the address is where it starts; afterwards the address follows the camera.
  }, []);
  useEffect(() => drawing.current!.show(graph.elements, graph.links), [graph]);
  useEffect(() => drawing.current!.choose(chosen), [chosen, graph]);
  useEffect(() => {
    if (goto) drawing.current!.goto(goto);
  }, [goto, graph]);
  const keys = (e: KeyboardEvent) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const d = drawing.current!;
    const step = (dx: number, dy: number) => {
      if (e.shiftKey) return d.pan(-60 * dx, -60 * dy);
      const id = d.next(dx, dy);
      if (!id) return;
      d.choose(id);
      d.goto(id);
      select(id);
    };
    const now = graph.elements.find((x) => x.id === chosen);
    const does: Record<string, () => void> = {
      ArrowLeft: () => step(-1, 0),
      ArrowRight: () => step(1, 0),
      ArrowUp: () => step(0, -1),
      ArrowDown: () => step(0, 1),
      Enter: () => now?.kind === "cluster" && toggle(now.id),
      Backspace: () => {
        const up = graph.elements.find((x) => x.id === now?.parent);
        select(up?.id);
        if (up) d.goto(up.id);
      },
      Escape: () => select(undefined),
      "+": () => d.zoom(1.5),
      "=": () => d.zoom(1.5),
      "-": () => d.zoom(1 / 1.5),
      "0": () => d.fit(),
    };
    if (!does[e.key]) return;
    e.preventDefault();
    e.stopPropagation();
    does[e.key]!();
  };
  return (
    <div className="network">
      <canvas ref={ref} tabIndex={0} role="application" aria-roledescription="network" aria-label={`Network of ${graph.name}: ${number(graph.accounts)} accounts, ${number(graph.values)} values that they share`} aria-describedby="network-keys" onKeyDown={keys} />
      <div className="network-tools">
        <button type="button" aria-label="Nearer" onClick={() => drawing.current!.zoom(1.5)}>
          +
        </button>
        <button type="button" aria-label="Farther" onClick={() => drawing.current!.zoom(1 / 1.5)}>
          −
        </button>
        <button type="button" aria-label="Show all" onClick={() => drawing.current!.fit()}>
          ⤢
        </button>
      </div>
    </div>
  );
}

// What is chosen, and what can be done with it.
function Chosen({ campaign, id, open, toggle, list, compare, setCompare, room }: { campaign: string; id: string; open: boolean; toggle: (id: string) => void; list: (change: Record<string, string | undefined>) => void; compare?: string; setCompare: (id: string | undefined) => void; room: boolean }) {
  const found = useGet("/api/v1/campaigns/{id}/graph/nodes", { id: campaign }, { node: id });
  return (
    <Show of={found}>
      {(d) => {
        const n = d.rows[0];
        if (!n) return null;
        return (
          <>
            <h2>{named(n)}</h2>
            <p className="soft">
              {n.kind === "account" ? "account" : n.kind === "cluster" ? (n.field === "pool" ? "pool" : "cluster") : n.kind}
              {n.path.length > 0 && ` in ${n.path.map((p) => p.label).join(" › ")}`}
            </p>
            {n.kind === "account" && (
              <p>
                <Verdict value={n.verdict} /> {percent(n.probability)}, {number(n.exchanges)} exchanges; shares {number(n.links)} values and templates.
              </p>
            )}
            {n.kind === "cluster" && (
              <p>
                {number(n.accounts)} accounts, {number(n.accused)} of them accused; {number(n.children)} elements.
              </p>
            )}
            {(n.kind === "value" || n.kind === "template") && <p>{number(n.accounts)} accounts of this campaign have it.</p>}
            <div className="actions">
              {n.kind === "cluster" && (
                <button type="button" className="primary" onClick={() => toggle(id)} disabled={!open && !room}>
                  {open ? "Close" : "Open"}
                </button>
              )}
              {n.kind === "cluster" && (
                <button type="button" onClick={() => list({ parent: id })}>
                  List what is in it
                </button>
              )}
              {n.kind !== "cluster" && (
                <button type="button" onClick={() => list({ linked: id })}>
                  {n.kind === "account" ? "List what it shares" : "List its accounts"}
                </button>
              )}
              {(n.kind === "value" || n.kind === "template") && (
                <Link className="button" href={holdersUrl(n.field, n.label, n.kind === "template" ? campaign : undefined)}>
                  All accounts anywhere
                </Link>
              )}
              {n.kind === "account" && (
                <Link className="button" href={`/accounts/${encodeURIComponent(n.label)}`}>
                  Its page
                </Link>
              )}
              {n.kind === "account" &&
                (compare && compare !== n.label ? (
                  <Link className="button" href={`/compare?a=${encodeURIComponent(compare)}&b=${encodeURIComponent(n.label)}`}>
                    Compare with {compare}
                  </Link>
                ) : (
                  <button type="button" aria-pressed={compare === n.label} onClick={() => setCompare(compare === n.label ? undefined : n.label)}>
                    {compare === n.label ? "Choose the other one" : "Compare"}
                  </button>
                ))}
            </div>
          </>
        );
      }}
    </Show>
  );
}

function List({ campaign, reveal, chosen }: { campaign: string; reveal: (row: Row) => void; chosen?: string }) {
  const [url, set] = useUrl();
  const search = useRef<HTMLInputElement>(null);
  const offset = Number(url.get("offset")) || 0;
  const of = (name: string) => url.get(name) ?? undefined;
  const narrowed = of("text") || of("kind") || of("linked");
  // Without a wish: what stands at the top.
  const parent = of("parent") ?? (narrowed ? undefined : "c:");
  const list = useGet("/api/v1/campaigns/{id}/graph/nodes", { id: campaign }, { text: of("text"), kind: of("kind"), linked: of("linked"), parent, offset, limit: LIMIT });
  const filter = (change: Record<string, string | undefined>) => set({ offset: undefined, ...change });
  useKeys({ "/": () => search.current?.focus() });
  return (
    <section aria-labelledby="network-list">
      <h2 id="network-list">The same as a list</h2>
      <form
        className="filters"
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          filter({ text: search.current?.value, parent: undefined, linked: undefined });
        }}
      >
        <label>
          Account, value, template
          <input ref={search} type="search" key={of("text")} defaultValue={of("text") ?? ""} placeholder="press /" />
        </label>
        <label>
          Only
          <select value={of("kind") ?? ""} onChange={(e) => filter({ kind: e.target.value, parent: undefined })}>
            <option value="">any</option>
            {KINDS.map((k) => (
              <option key={k}>{k}</option>
            ))}
          </select>
        </label>
        {(narrowed || of("parent")) && (
          <button type="button" onClick={() => filter({ text: undefined, kind: undefined, linked: undefined, parent: undefined })}>
            From the top
          </button>
        )}
      </form>
      {of("linked") && (
        <p>
          Linked to <code>{of("linked")!.slice(2)}</code>:
        </p>
      )}
      {of("parent") && (
        <p>
          In <code>{of("parent")!.slice(2)}</code>:
        </p>
      )}
      <Show of={list} empty={(d) => d.total === 0 && <p>Nothing fits.</p>}>
        {(d) => (
          <>
            <Table
              label="Elements of the network"
              rows={d.rows}
              id={(n) => n.id}
              chosen={d.rows.findIndex((n) => n.id === chosen)}
              columns={[
                {
                  head: "Element",
                  cell: (n) => (
                    <button type="button" className="link" onClick={() => reveal(n)}>
                      {named(n)}
                    </button>
                  ),
                },
                { head: "Kind", cell: (n) => n.kind },
                { head: "Accounts", number: true, cell: (n) => (n.kind === "account" ? "" : number(n.accounts)) },
                { head: "Accused", number: true, cell: (n) => (n.kind === "cluster" ? number(n.accused) : "") },
                { head: "Links", number: true, cell: (n) => number(n.links) },
                { head: "Verdict", cell: (n) => n.verdict && <Verdict value={n.verdict} /> },
                { head: "In", cell: (n) => <span className="soft">{n.path.map((p) => p.label).join(" › ")}</span> },
                {
                  head: "",
                  cell: (n): ReactNode =>
                    n.kind === "cluster" ? (
                      <button type="button" className="link" onClick={() => filter({ parent: n.id, text: undefined, kind: undefined, linked: undefined })}>
                        what is in it
                      </button>
                    ) : n.kind === "account" ? (
                      <AccountLink id={n.label} />
                    ) : (
                      <button type="button" className="link" onClick={() => filter({ linked: n.id, text: undefined, kind: undefined, parent: undefined })}>
                        its accounts
                      </button>
                    ),
                },
              ]}
            />
            <Pager keys total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
          </>
        )}
      </Show>
    </section>
  );
}

export function GraphScreen({ id }: { id: string }) {
  const [url, set] = useUrl();
  const open = url.get("open") ?? undefined;
  const chosen = url.get("sel") ?? undefined;
  const [focus, setFocus] = useState<string>();
  const [goto, setGoto] = useState<string>();
  const graph = useGet("/api/v1/campaigns/{id}/graph", { id }, { open, focus });
  const g = graph.data;
  const opened = g?.elements.filter((e) => e.open).map((e) => e.id) ?? [];
  const openUrl = (ids: string[]) => (ids.length ? ids.join("~") : "none");
  const select = (what: string | undefined) => {
    set({ sel: what }, false);
    setGoto(undefined);
    if (g && g.links_cut > 0 && what) setFocus(what); // so that none of its links is left out
  };
  const toggle = (cluster: string) => {
    const is = opened.includes(cluster);
    set({ open: openUrl(is ? opened.filter((o) => o !== cluster && !inside(g!, o, cluster)) : [...opened, cluster]), sel: cluster });
    setGoto(cluster);
  };
  const reveal = async (row: Row) => {
    const path = row.path.map((p) => p.id);
    set({ sel: row.id, open: openUrl([...new Set([...opened, ...path])]) });
    setGoto(row.id);
    document.querySelector(".network")?.scrollIntoView({ block: "nearest" });
  };
  useEffect(() => {
    // Somebody's link may name what is inside clusters that are closed here.
    if (!g || !chosen || g.elements.some((e) => e.id === chosen) || graph.loading) return;
    const stop = new AbortController();
    get("/api/v1/campaigns/{id}/graph/nodes", { id }, { node: chosen }, stop.signal).then(
      (d) => {
        const missing = d.rows[0]?.path.map((p) => p.id).filter((p) => !opened.includes(p) && !g.refused.includes(p)) ?? [];
        if (missing.length) set({ open: openUrl([...opened, ...missing]) }, false);
      },
      () => {},
    );
    return () => stop.abort();
  }, [g, chosen]);
  const element = g?.elements.find((e) => e.id === chosen);
  return (
    <Page title={`Network of ${g?.name ?? id}`} aside={<Link href={`/campaigns/${encodeURIComponent(id)}`}>The campaign</Link>}>
      <Show of={graph} empty={(d) => d.accounts === 0 && <p>No account of this campaign is kept, so there is no network.</p>}>
        {(d) => (
          <>
            <p className="soft">
              {number(d.accounts)} accounts, {number(d.values)} values and templates that they share, {number(d.links_total)} links; as of {minute(d.as_of)} UTC. Drawn: {number(d.elements.length)} elements, {number(d.links.length / 3)} links
              {d.links_cut > 0 && `; ${number(d.links_cut)} more have no room, those of what you choose always have`}.
            </p>
            {d.notes.map((note) => (
              <p key={note} className="soft">
                {note}.
              </p>
            ))}
            {d.refused.length > 0 && (
              <p className="problem" role="alert">
                {d.refused.length === 1 ? "A cluster stays" : `${d.refused.length} clusters stay`} closed: no more than 5,000 elements are drawn at once. Close another one first.
              </p>
            )}
            <div className="network-page">
              <div>
                <Canvas graph={d} chosen={chosen} camera={cameraOf(url.get("at"))} select={select} toggle={toggle} goto={goto} moved={(c) => set({ at: c.k === 1 && c.x === 0 && c.y === 0 ? undefined : [c.x, c.y, c.k].map((v) => Number(v.toPrecision(5))).join("_") }, false)} />
                <ul className="legend soft" aria-label="What the shapes mean">
                  <li>
                    <span className="shape cluster" aria-hidden="true" /> cluster
                  </li>
                  <li>
                    <span className="shape accused" aria-hidden="true" /> accused account
                  </li>
                  <li>
                    <span className="shape account" aria-hidden="true" /> other account
                  </li>
                  <li>
                    <span className="shape value" aria-hidden="true" /> shared value
                  </li>
                  <li>
                    <span className="shape template" aria-hidden="true" /> template
                  </li>
                </ul>
                <p className="soft" id="network-keys">
                  <kbd>arrows</kbd> from element to element, <kbd>Enter</kbd> opens and closes a cluster, <kbd>Backspace</kbd> to the one around it, <kbd>+</kbd> <kbd>−</kbd> <kbd>0</kbd> nearer, farther, all, <kbd>Shift</kbd> and arrows move the view. The list below has all of it.
                </p>
              </div>
              <aside aria-live="polite">
                {chosen ? (
                  <Chosen campaign={id} id={chosen} open={element?.open ?? false} room={!d.refused.includes(chosen)} toggle={toggle} list={(change) => set({ parent: undefined, linked: undefined, text: undefined, kind: undefined, offset: undefined, ...change })} compare={url.get("cmp") ?? undefined} setCompare={(a) => set({ cmp: a }, false)} />
                ) : (
                  <p className="soft">Choose an element to see what it is. A cluster opens with a double click.</p>
                )}
              </aside>
            </div>
            <List campaign={id} reveal={reveal} chosen={chosen} />
          </>
        )}
      </Show>
    </Page>
  );
}

// Whether cluster `a` lies in `b`, as far as it is drawn.
function inside(g: Graph, a: string, b: string): boolean {
  for (let at = g.elements.find((e) => e.id === a); at; at = g.elements.find((e) => e.id === at!.parent)) if (at.parent === b) return true;
  return false;
}
