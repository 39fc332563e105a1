import { Link } from "wouter";
import type { Schemas } from "../api";
import { useGet } from "../hooks";
import { minute, number, percent, words } from "../text";
import { Figure, Page, Show, Table, type Column } from "../ui";

type Counted = Schemas["PrecisionCount"];
type Bin = Schemas["Precision"]["calibration"][number];

// Stated (across) against found (up), with the interval of what was found; on the line: calibrated.
function Reliability({ bins }: { bins: readonly Bin[] }) {
  const known = bins.filter((b) => b.stated !== null && b.precision !== null);
  if (known.length === 0) return null;
  const y = (p: number) => 100 - 100 * p;
  return (
    <figure className="reliability">
    <figcaption className="axis">
      <span>found right, 0 to 100 %</span>
    </figcaption>
    <svg viewBox="-4 -4 108 108" role="img" aria-label={`Stated against found: ${known.map((b) => `${percent(b.stated!)} stated, ${percent(b.precision!)} found`).join("; ")}`}>
      <rect className="meter-back" width="100" height="100" />
      <line className="even" x1="0" y1="100" x2="100" y2="0" />
      {known.map((b) => (
        <g key={b.from}>
          <line x1={100 * b.stated!} x2={100 * b.stated!} y1={y(b.low!)} y2={y(b.high!)} />
          <circle className="meter-bar" cx={100 * b.stated!} cy={y(b.precision!)} r="2.5" />
        </g>
      ))}
    </svg>
    <div className="axis">
      <span>stated, 0 %</span>
      <span>100 %</span>
    </div>
    </figure>
  );
}

// One row for what was done and what would have been done of the same kind.
function sides(rows: readonly Schemas["Decisions"]["rows"][number][]) {
  const out = new Map<string, { action: string; reason: string; live: number; shadow: number }>();
  for (const r of rows) {
    const key = `${r.action} ${r.reason}`;
    const one = out.get(key) ?? { action: r.action, reason: r.reason, live: 0, shadow: 0 };
    one[r.shadow ? "shadow" : "live"] += r.count;
    out.set(key, one);
  }
  return [...out.values()].sort((a, b) => b.live + b.shadow - a.live - a.shadow);
}

export function Detector() {
  const precision = useGet("/api/v1/precision", {}, {}, 60_000);
  const passes = useGet("/api/v1/passes", {}, { limit: 20 }, 30_000);
  const decisions = useGet("/api/v1/decisions", {}, {}, 30_000);
  const share = (p: number | null) => (p === null ? "not yet known" : percent(p));
  const between = (c: Counted) => (c.low === null || c.high === null ? "–" : `${percent(c.low)} to ${percent(c.high)}`);
  const count = (details: unknown, key: string) => {
    const value = (details as Record<string, unknown> | null)?.[key];
    return typeof value === "number" ? number(value) : "–";
  };
  const judged: Column<Counted>[] = [
    { head: "Right", number: true, cell: (c) => share(c.precision) },
    { head: "Between (95 %)", number: true, cell: between },
    { head: "Confirmed", number: true, cell: (c) => number(c.confirmed) },
    { head: "Dismissed", number: true, cell: (c) => number(c.dismissed) },
    { head: "Unsure", number: true, cell: (c) => number(c.unsure) },
  ];
  return (
    <Page title="Detector health">
      <Show of={precision}>
        {(p) => (
          <>
            <div className="figures">
              <Figure value={share(p.accused.precision)} label="of its accusations were confirmed" note={p.accused.precision === null ? "nobody has judged one yet" : between(p.accused)} />
              <Figure value={number(p.all.confirmed)} label="campaigns confirmed" />
              <Figure value={number(p.all.dismissed)} label="dismissed" />
              <Figure value={number(p.all.unsure)} label="unsure" />
            </div>
            <h2>By family of evidence</h2>
            {p.families.length === 0 ? (
              <div className="empty">
                <p>
                  Nobody has judged a campaign yet. <Link href="/campaigns?disposition=none">Those that wait</Link>
                </p>
              </div>
            ) : (
              <Table label="Precision by family of evidence" rows={p.families} id={(f) => f.family} columns={[{ head: "Family", cell: (f) => f.family }, ...(judged as Column<(typeof p.families)[number]>[])]} />
            )}
            <h2>Stated and found</h2>
            <p className="soft">Accusations by the probability that was stated when they were judged. Well calibrated: the share found right is within the interval of what was stated.</p>
            {p.calibration.length === 0 ? (
              <div className="empty">
                <p>No accusation has been judged yet.</p>
              </div>
            ) : (
              <>
                <Reliability bins={p.calibration} />
                <Table
                  label="Stated probability and share found right"
                  rows={p.calibration}
                  id={(b) => b.from}
                  columns={[
                    { head: "Probability", cell: (b) => `${b.from} to ${b.to}` },
                    { head: "Stated", number: true, cell: (b) => share(b.stated) },
                    ...(judged as Column<Bin>[]),
                  ]}
                />
              </>
            )}
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
      <h2>Shadow against live</h2>
      <Show of={decisions} empty={(d) => d.rows.length === 0 && <p>Since the service started every decision was to allow, and nothing else would have been done.</p>}>
        {(d) => (
          <>
            <p className="soft">Decisions other than allow since the service started. What is in shadow was recorded and not done.</p>
            <Table
              label="Decisions"
              rows={sides(d.rows)}
              id={(r) => `${r.action} ${r.reason}`}
              columns={[
                { head: "Action", cell: (r) => r.action },
                { head: "Because of", cell: (r) => words(r.reason) },
                { head: "Done", number: true, cell: (r) => number(r.live) },
                { head: "In shadow", number: true, cell: (r) => number(r.shadow) },
              ]}
            />
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
