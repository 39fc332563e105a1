import { post, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { minute, number } from "../text";
import { Page, Pager, Show, Table, useSay } from "../ui";

const LIMIT = 100;

function Entries({ name }: { name: string }) {
  const [url, set] = useUrl();
  const offset = Number(url.get("offset")) || 0;
  const list = useGet("/api/v1/lists/{name}", { name }, { offset, limit: LIMIT });
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
            ]}
          />
          <Pager total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
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
    <Page title="Lists">
      <Show of={lists} empty={(d) => d.total === 0 && <p>No list has an entry. Policies name lists; entries are added through the API or with a policy.</p>}>
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
      {name && <Entries name={name} />}
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
    </Page>
  );
}
