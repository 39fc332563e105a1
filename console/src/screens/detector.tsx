import { useGet } from "../hooks";
import { minute, number, percent, words } from "../text";
import { Figure, Meter, Page, Show, Table } from "../ui";

export function Detector() {
  const precision = useGet("/api/v1/precision", {}, {}, 60_000);
  const passes = useGet("/api/v1/passes", {}, { limit: 20 }, 30_000);
  const share = (p: number | null) => (p === null ? "not yet known" : percent(p));
  const count = (details: unknown, key: string) => {
    const value = (details as Record<string, unknown> | null)?.[key];
    return typeof value === "number" ? number(value) : "–";
  };
  return (
    <Page title="Detector health">
      <Show of={precision}>
        {(p) => (
          <>
            <div className="figures">
              <Figure value={share(p.all.precision)} label="of the campaigns judged by people were right" />
              <Figure value={number(p.all.confirmed)} label="confirmed" />
              <Figure value={number(p.all.dismissed)} label="dismissed" />
              <Figure value={number(p.all.unsure)} label="unsure" />
            </div>
            <h2>By family of evidence</h2>
            <Table
              label="Precision by family of evidence"
              rows={p.families}
              id={(f) => f.family}
              columns={[
                { head: "Family", cell: (f) => f.family },
                { head: "Right", number: true, cell: (f) => share(f.precision) },
                { head: "", cell: (f) => f.precision !== null && <Meter share={f.precision} label={f.family} /> },
                { head: "Confirmed", number: true, cell: (f) => number(f.confirmed) },
                { head: "Dismissed", number: true, cell: (f) => number(f.dismissed) },
                { head: "Unsure", number: true, cell: (f) => number(f.unsure) },
              ]}
            />
            {p.look_alikes.length > 0 && (
              <>
                <h2>What the dismissed were</h2>
                <Table
                  label="Look-alikes"
                  rows={p.look_alikes}
                  id={(l) => l.look_alike}
                  columns={[
                    { head: "Look-alike", cell: (l) => words(l.look_alike) },
                    { head: "Campaigns", number: true, cell: (l) => number(l.dismissed) },
                  ]}
                />
              </>
            )}
          </>
        )}
      </Show>
      <h2>Passes</h2>
      <Show of={passes} empty={(d) => d.total === 0 && <p>None has ended yet.</p>}>
        {(d) => (
          <Table
            label="Passes"
            rows={d.rows}
            id={(p) => p.id}
            columns={[
              { head: "Ended, UTC", cell: (p) => minute(p.ended_at) },
              { head: "Seconds", number: true, cell: (p) => (p.began_at && p.ended_at ? ((Date.parse(p.ended_at) - Date.parse(p.began_at)) / 1000).toFixed(1) : "–") },
              { head: "Judged since", cell: (p) => (p.since ? minute(p.since) : "the beginning") },
              { head: "Exchanges", number: true, cell: (p) => count(p.details, "exchanges") },
              { head: "Accounts", number: true, cell: (p) => count(p.details, "accounts") },
            ]}
          />
        )}
      </Show>
    </Page>
  );
}
