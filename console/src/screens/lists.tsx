// Lists that policies name: who is on them, why and until when; changed by hand, with a way back.
import { useState } from "react";
import { get, post, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { minute, number } from "../text";
import { Dialog, Field, Page, Pager, Show, Table, useSay } from "../ui";

const LIMIT = 100;
const KINDS = ["account", "key", "org", "address"] as const;
type Entry = Schemas["ListEntry"];

type Change = { put?: { value: string; reason: string; expires_at?: string | null }[]; remove?: string[] };
const change = (name: string, expected: number, what: Change) => post("/api/v1/lists/{name}", { name }, { expected, ...what });

// What was done, and how to take it back: at the revision that it made, so that nobody's later
// change is undone with it.
function useChange(done: () => void) {
  const say = useSay();
  return async (name: string, expected: number, what: Change, back: Change, text: string) => {
    const made = await change(name, expected, what);
    done();
    if (made.status === "proposed") {
      say({ text: `${text}: proposed. It touches ${number(made.touched)} accounts, so another person has to approve it.` });
      return;
    }
    say({
      text: `${text}.`,
      undo: async () => {
        await change(name, expected + 1, back);
        done();
      },
    });
  };
}

const asPut = (e: Entry) => ({ value: e.value, reason: e.reason, ...(e.expires_at ? { expires_at: e.expires_at } : {}) });

function Add({ name, revision, names, close, done }: { name: string; revision: (name: string) => number; names: string[]; close: () => void; done: () => void }) {
  const [list, setList] = useState(name);
  const [kind, setKind] = useState<(typeof KINDS)[number]>("account");
  const [value, setValue] = useState("");
  const [reason, setReason] = useState("");
  const [until, setUntil] = useState("");
  const act = useChange(done);
  const entry = `${kind}:${value.trim()}`;
  return (
    <Dialog
      title="Add to a list"
      submit="Add"
      onClose={close}
      onSubmit={async () => {
        // One that is there already is replaced; undoing brings back what it said.
        const there = revision(list) === 0 ? undefined : (await get("/api/v1/lists/{name}", { name: list }, { prefix: entry, limit: 1 })).rows.find((e) => e.value === entry);
        await act(
          list,
          revision(list),
          { put: [{ value: entry, reason, ...(until ? { expires_at: new Date(`${until}Z`).toISOString() } : {}) }] },
          there ? { put: [asPut(there)] } : { remove: [entry] },
          `${entry} is on ${list}`,
        );
      }}
    >
      <Field label="List" hint={list && !names.includes(list) ? "There is none of this name; it would be a new one. It acts once a policy names it." : undefined}>
        {(id) => (
          <>
            <input id={id} required list="lists" value={list} onChange={(e) => setList(e.target.value)} />
            <datalist id="lists">
              {names.map((n) => (
                <option key={n} value={n} />
              ))}
            </datalist>
          </>
        )}
      </Field>
      <Field label="What">
        {(id) => (
          <select id={id} value={kind} onChange={(e) => setKind(e.target.value as (typeof KINDS)[number])}>
            {KINDS.map((k) => (
              <option key={k}>{k}</option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Which" hint={kind === "address" ? "198.51.100.7, or a range: 198.51.100.0/24" : undefined}>
        {(id) => <input id={id} required value={value} onChange={(e) => setValue(e.target.value)} />}
      </Field>
      <Field label="Reason">{(id) => <input id={id} required maxLength={1000} value={reason} onChange={(e) => setReason(e.target.value)} />}</Field>
      <Field label="Until, UTC" hint="Empty: no end.">
        {(id) => <input id={id} type="datetime-local" value={until} onChange={(e) => setUntil(e.target.value)} />}
      </Field>
    </Dialog>
  );
}

function Entries({ name, revision, done }: { name: string; revision: number; done: () => void }) {
  const [url, set] = useUrl();
  const offset = Number(url.get("offset")) || 0;
  const list = useGet("/api/v1/lists/{name}", { name }, { offset, limit: LIMIT });
  const say = useSay();
  const act = useChange(() => (list.again(), done()));
  const remove = (e: Entry) => act(name, revision, { remove: [e.value] }, { put: [asPut(e)] }, `${e.value} is off ${name}`).catch((problem) => (say({ text: (problem as Error).message }), list.again(), done()));
  return (
    <Show of={list}>
      {(d) => (
        <>
          <h2>{name}</h2>
          <Table
            label={`Entries of ${name}`}
            rows={d.rows}
            id={(e) => e.value}
            columns={[
              { head: "Entry", cell: (e) => <code>{e.value}</code> },
              { head: "Until", cell: (e) => (e.expires_at ? minute(e.expires_at) : "no end") },
              { head: "Reason", cell: (e) => e.reason },
              { head: "By", cell: (e) => `${e.person}, ${minute(e.at)}` },
              {
                head: "Do",
                cell: (e) => (
                  <button type="button" aria-label={`Remove ${e.value}`} onClick={() => void remove(e)}>
                    Remove
                  </button>
                ),
              },
            ]}
          />
          <Pager keys total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
        </>
      )}
    </Show>
  );
}

export function Lists({ me }: { me: Schemas["Me"] }) {
  const [url, set] = useUrl();
  const name = url.get("name");
  const lists = useGet("/api/v1/lists");
  const changes = useGet("/api/v1/list-changes", {}, { limit: 50 }, 30_000);
  const say = useSay();
  const [adding, setAdding] = useState(false);
  const revision = (of: string) => lists.data?.rows.find((l) => l.name === of)?.revision ?? 0;
  const again = () => (lists.again(), changes.again());
  const decide = async (id: number, what: "approve" | "reject") => {
    try {
      await post(`/api/v1/list-changes/{id}/${what}`, { id }, undefined);
      say({ text: what === "approve" ? "Applied." : "Rejected." });
    } catch (problem) {
      say({ text: (problem as Error).message });
    }
    changes.again();
    lists.again();
  };
  return (
    <Page
      title="Lists"
      aside={
        <button type="button" className="primary" onClick={() => setAdding(true)}>
          Add an entry
        </button>
      }
    >
      <Show of={lists} empty={(d) => d.total === 0 && <p>No list has an entry. Policies name lists and say what they do; entries are added here, through the API, or with a policy.</p>}>
        {(d) => (
          <Table
            label="Lists"
            rows={d.rows}
            id={(l) => l.name}
            columns={[
              {
                head: "List",
                cell: (l) => (
                  <button type="button" className="link" onClick={() => set({ name: l.name, offset: undefined })}>
                    {l.name}
                  </button>
                ),
              },
              { head: "Entries", number: true, cell: (l) => number(l.entries) },
            ]}
          />
        )}
      </Show>
      {name && lists.data && <Entries name={name} revision={revision(name)} done={again} />}
      <h2>Changes</h2>
      <Show of={changes} empty={(d) => d.total === 0 && <p>None yet.</p>}>
        {(d) => (
          <Table
            label="Changes of lists"
            rows={d.rows}
            id={(c) => c.id}
            columns={[
              { head: "List", cell: (c) => c.list },
              { head: "Status", cell: (c) => <b>{c.status}</b> },
              { head: "Entries", number: true, cell: (c) => number(c.entries) },
              { head: "Proposed", cell: (c) => `${c.proposed_by}, ${minute(c.proposed_at)}` },
              { head: "Decided", cell: (c) => (c.decided_at ? `${c.decided_by}, ${minute(c.decided_at)}` : "–") },
              {
                head: "Do",
                cell: (c) =>
                  c.status === "proposed" && me.roles.includes("approver") && c.proposed_by !== me.person ? (
                    <span className="actions">
                      <button type="button" onClick={() => void decide(c.id, "approve")}>
                        Approve
                      </button>
                      <button type="button" onClick={() => void decide(c.id, "reject")}>
                        Reject
                      </button>
                    </span>
                  ) : (
                    "–"
                  ),
              },
            ]}
          />
        )}
      </Show>
      {adding && <Add name={name ?? ""} revision={revision} names={lists.data?.rows.map((l) => l.name) ?? []} close={() => setAdding(false)} done={again} />}
    </Page>
  );
}
