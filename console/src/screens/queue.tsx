import { useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { post, type Campaign, type Schemas } from "../api";
import { useGet, useKeys, useUrl } from "../hooks";
import { age, compact, minute, number, percent, words } from "../text";
import { Page, Pager, Show, Table, useSay, Verdict, type Column } from "../ui";
import { Dispose, WORDS, type Word } from "./dispose";

const LIMIT = 50;
const VERDICTS = ["distillation", "coordinated-other", "shared-tool", "evaluation", "permitted", "unresolved"];
const DISPOSITIONS = ["none", "confirmed", "dismissed", "unsure"];

const COLUMNS: Column<Campaign>[] = [
  {
    head: "Campaign",
    sort: "name",
    cell: (c) => (
      <Link href={`/campaigns/${encodeURIComponent(c.id)}`}>
        <b className="name">{c.name}</b>
      </Link>
    ),
  },
  { head: "Verdict", cell: (c) => <Verdict value={c.verdict} /> },
  { head: "Prob.", sort: "probability", number: true, cell: (c) => percent(c.probability) },
  { head: "Exchanges", sort: "exchanges", number: true, cell: (c) => <span title={number(c.exchanges)}>{compact(c.exchanges)}</span> },
  { head: "Accounts", sort: "accounts", number: true, cell: (c) => number(c.accounts) },
  { head: "Mainly", cell: (c) => words(c.capability) || "–" },
  { head: "Last seen", sort: "last_seen", cell: (c) => <time className="one" dateTime={c.last_seen ?? undefined} title={`${minute(c.last_seen)} UTC`}>{age(c.last_seen)} ago</time> },
  { head: "Age", sort: "first_seen", number: true, cell: (c) => <time dateTime={c.first_seen ?? undefined} title={`since ${minute(c.first_seen)} UTC`}>{age(c.first_seen)}</time> },
  { head: "Owner", cell: (c) => c.owner || <span className="soft">nobody</span> },
  { head: "Said", cell: (c) => c.disposition || <span className="soft">nothing</span> },
];

export function Queue({ me }: { me: Schemas["Me"] }) {
  const [url, set] = useUrl();
  const [, navigate] = useLocation();
  const search = useRef<HTMLInputElement>(null);
  const [word, setWord] = useState<Word>();
  const say = useSay();
  const offset = Number(url.get("offset")) || 0;
  const sort = { by: url.get("sort") ?? "exchanges", order: url.get("order") ?? "desc" };
  const query = Object.fromEntries(["verdict", "disposition", "text", "owner", "capability", "account_id", "status"].map((k) => [k, url.get(k) ?? undefined]));
  const list = useGet("/api/v1/campaigns", {}, { ...query, offset, limit: LIMIT, sort: sort.by, order: sort.order }, 60_000);
  const rows = list.data?.rows ?? [];
  const chosen = Math.min(Number(url.get("row")) || 0, Math.max(0, rows.length - 1));
  const row = rows[chosen];
  const choose = (i: number) => set({ row: i > 0 ? String(i) : undefined }, false);
  const filter = (change: Record<string, string | undefined>) => set({ ...change, offset: undefined, row: undefined });
  const take = async () => {
    if (!row) return;
    const before = row.owner;
    const own = (expected_owner: string, owner: string) => post("/api/v1/campaigns/{id}/owner", { id: row.id }, { expected_owner, owner });
    try {
      await own(before, me.person);
      say({ text: `${row.name} is yours.`, undo: async () => void (await own(me.person, before), list.again()) });
    } catch (problem) {
      say({ text: (problem as Error).message });
    }
    list.again();
  };
  useKeys({
    j: () => choose(Math.min(chosen + 1, rows.length - 1)),
    k: () => choose(Math.max(chosen - 1, 0)),
    Enter: () => row && navigate(`/campaigns/${encodeURIComponent(row.id)}`),
    "/": () => search.current?.focus(),
    o: () => void take(),
    ...Object.fromEntries(Object.entries(WORDS).map(([key, w]) => [key, () => row && setWord(w)])),
  });
  const choice = (name: string, label: string, values: string[]) => (
    <label>
      {label}
      <select value={url.get(name) ?? ""} onChange={(e) => filter({ [name]: e.target.value })}>
        <option value="">any</option>
        {values.map((v) => (
          <option key={v} value={v}>
            {v}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <Page title="Campaigns">
      <form
        className="filters"
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          filter({ text: search.current?.value });
          search.current?.blur();
        }}
      >
        <label>
          Name or id
          <input ref={search} type="search" key={url.get("text")} defaultValue={url.get("text") ?? ""} placeholder="press /" />
        </label>
        {choice("verdict", "Verdict", VERDICTS)}
        {choice("disposition", "Said", DISPOSITIONS)}
        {choice("status", "Status", ["current", "merged", "gone", "all"])}
        <label className="check">
          <input type="checkbox" checked={url.get("owner") === me.person} onChange={(e) => filter({ owner: e.target.checked ? me.person : undefined })} />
          mine
        </label>
      </form>
      <Show of={list} empty={(d) => d.total === 0 && <p>{[...url.keys()].length ? "No campaign fits these filters." : "No campaign was found yet."}</p>}>
        {(d) => (
          <>
            <Table
              label="Campaigns"
              columns={COLUMNS}
              rows={d.rows}
              id={(c) => c.id}
              chosen={chosen}
              choose={choose}
              sort={sort}
              onSort={(by) => filter({ sort: by, order: sort.by === by && sort.order === "desc" ? "asc" : "desc" })}
            />
            <Pager keys total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined, row: undefined })} />
          </>
        )}
      </Show>
      {word && row && <Dispose campaign={row} word={word} close={() => setWord(undefined)} done={list.again} />}
    </Page>
  );
}
