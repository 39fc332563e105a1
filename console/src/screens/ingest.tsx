// How taking in goes: who sends, how much, what waits where, what was refused and why.
import { useGet } from "../hooks";
import type { Schemas } from "../api";
import { ago, bytes, compact, minute, number } from "../text";
import { Figure, Meter, Page, Show, Table } from "../ui";

type Health = Schemas["Ingest"];

// What needs a person, worst first; nothing when all is well.
function troubles(h: Health): string[] {
  const out: string[] = [];
  if (h.journal.lost > 0) out.push(`${number(h.journal.lost)} entries were acknowledged and cannot be read back from the journal. Keep its folder, and look at the service's log.`);
  if (!h.lake.open) out.push("The lake is not open. What comes in waits in the journal and is acknowledged; findings are those of the last pass.");
  else if (h.lake.failing) out.push(`The lake takes no rows at the moment (${h.lake.error}). They wait in the journal and are tried again.`);
  for (const q of h.queues) if (q.bound > 0 && q.used > 0.8 * q.bound) out.push(`${q.name}: ${size(q.name, q.used)} of ${size(q.name, q.bound)} are used. Beyond the bound senders are told to come back later.`);
  if (h.journal.failed > 0) out.push(`The disk refused ${number(h.journal.failed)} writes of the journal; their senders were told.`);
  if (h.passes.enabled && h.passes.error) out.push(`The last pass failed, what was known stays in force: ${h.passes.error}`);
  if (h.alerts.dead > 0) out.push(`${number(h.alerts.dead)} alerts were given up; they are in dead.jsonl.`);
  return out;
}

const size = (name: string, n: number) => (name.includes("bytes") ? bytes(n) : compact(n));

function Rates({ minutes }: { minutes: Health["minutes"] }) {
  const top = Math.max(1, ...minutes.map((m) => m.accepted + m.rejected));
  const sum = minutes.reduce((n, m) => n + m.accepted, 0);
  return (
    <figure>
      <figcaption className="axis">
        <span>records a minute over the last hour, at most {number(top)}</span>
        <span className="key">
          <span>
            <svg width="10" height="10" aria-hidden="true">
              <rect className="m0" width="10" height="10" rx="2" />
            </svg>{" "}
            accepted
          </span>
          <span>
            <svg width="10" height="10" aria-hidden="true">
              <rect className="m1" width="10" height="10" rx="2" />
            </svg>{" "}
            refused
          </span>
        </span>
      </figcaption>
      <svg className="timeline" viewBox={`0 0 ${minutes.length} 100`} preserveAspectRatio="none" role="img" aria-label={`${number(sum)} records were accepted in the last hour, at most ${number(top)} in a minute`}>
        {minutes.map((m, i) => {
          const good = (100 * m.accepted) / top;
          const bad = (100 * m.rejected) / top;
          return (
            <g key={m.begin}>
              <title>{`${minute(m.begin)}: ${number(m.accepted)} accepted, ${number(m.rejected)} refused`}</title>
              <rect className="m0" x={i + 0.08} y={100 - good} width={0.84} height={good} />
              <rect className="m1" x={i + 0.08} y={100 - good - bad} width={0.84} height={bad} />
            </g>
          );
        })}
      </svg>
      <div className="axis">
        <span>{minute(minutes[0]?.begin)}</span>
        <span>{minute(minutes.at(-1)?.begin)} UTC</span>
      </div>
    </figure>
  );
}

export function Ingest() {
  const health = useGet("/api/v1/ingest", {}, {}, 10_000);
  if (health.error?.status === 404)
    return (
      <Page title="Ingest">
        <div className="empty">
          <p>This is a finished scan: nothing is taken in here. A running service (stillwatch serve) shows who sends, how much, and what was refused.</p>
        </div>
      </Page>
    );
  return (
    <Page title="Ingest">
      <Show of={health}>
        {(h) => {
          const wrong = troubles(h);
          const last = h.minutes.slice(-6, -1); // the minute that has just begun says little
          const rate = last.reduce((n, m) => n + m.accepted, 0) / Math.max(1, last.length);
          const newest = h.sources.map((s) => s.newest_record ?? "").sort().at(-1);
          return (
            <>
              <div role="status">
                {wrong.length === 0 ? (
                  <p className="fine">All is taken in, and nothing needs you.</p>
                ) : (
                  <ul className="problem">
                    {wrong.map((w) => (
                      <li key={w}>{w}</li>
                    ))}
                  </ul>
                )}
              </div>
              <div className="figures">
                <Figure value={number(h.accepted)} label="records accepted" note="since the service started" />
                <Figure value={number(Math.round(rate))} label="records a minute, lately" />
                <Figure value={number(h.rejected)} label="records refused" note={h.rejected_unkept > 0 ? `${number(h.rejected_unkept)} of them not written down` : "kept in rejected.jsonl"} />
                <Figure value={number(h.journal.waiting)} label="entries on their way to the lake" />
                <Figure value={newest ? ago(newest, Date.parse(h.now ?? "")) : "–"} label="newest record" note={newest && `${minute(newest)} UTC`} />
                <Figure value={h.passes.enabled ? ago(h.passes.ended_at, Date.parse(h.now ?? "")) : "off"} label="last pass" note={h.passes.ended_at && `${(h.passes.milliseconds / 1000).toFixed(1)} s, ${number(h.passes.exchanges)} exchanges`} />
              </div>
              <Rates minutes={h.minutes} />
              <h2>Sources</h2>
              {h.sources.length === 0 ? (
                <div className="empty">
                  <p>Nobody has sent anything since the service started. Records come in by POST /v1/exchanges, OTLP, LiteLLM's logger or Kafka.</p>
                </div>
              ) : (
                <Table
                  label="Sources"
                  rows={h.sources}
                  id={(s) => s.source}
                  columns={[
                    { head: "Path, from, as", cell: (s) => <code>{s.source}</code> },
                    { head: "Accepted", number: true, cell: (s) => number(s.accepted) },
                    { head: "Refused", number: true, cell: (s) => number(s.rejected) },
                    { head: "Last request", cell: (s) => ago(s.last_at, Date.parse(h.now ?? "")) },
                    { head: "Newest record, UTC", cell: (s) => minute(s.newest_record) },
                  ]}
                />
              )}
              <h2>Queues and their bounds</h2>
              <Table
                label="Queues"
                rows={h.queues}
                id={(q) => q.name}
                columns={[
                  { head: "Queue", cell: (q) => q.name.replace(/, bytes/, "") },
                  { head: "Used", number: true, cell: (q) => size(q.name, q.used) },
                  { head: "Bound", number: true, cell: (q) => size(q.name, q.bound) },
                  { head: "", cell: (q) => <Meter share={q.bound > 0 ? q.used / q.bound : 0} label={q.name} /> },
                  { head: "Refused for it", number: true, cell: (q) => number(q.refused) },
                ]}
              />
              <h2>Refused records</h2>
              {h.reasons.length === 0 ? (
                <div className="empty">
                  <p>None.</p>
                </div>
              ) : (
                <>
                  <Table
                    label="Reasons of refusals"
                    rows={h.reasons}
                    id={(r) => r.reason}
                    columns={[
                      { head: "Reason", cell: (r) => r.reason },
                      { head: "Records", number: true, cell: (r) => number(r.count) },
                      { head: "Last", cell: (r) => ago(r.last_at, Date.parse(h.now ?? "")) },
                    ]}
                  />
                  <details>
                    <summary>The newest {h.refused.length}, with their place</summary>
                    <Table
                      label="Newest refused records"
                      rows={h.refused.map((r, i) => ({ ...r, i }))}
                      id={(r) => r.i}
                      columns={[
                        { head: "When, UTC", cell: (r) => minute(r.at) },
                        { head: "From", cell: (r) => <code>{r.source}</code> },
                        { head: "Record", number: true, cell: (r) => number(r.record) },
                        { head: "Reason", cell: (r) => r.reason },
                      ]}
                    />
                  </details>
                </>
              )}
              <h2>Passes</h2>
              {h.passes.enabled ? (
                <p>
                  {number(h.passes.done)} done, {number(h.passes.failed)} failed, {number(h.passes.killed)} ended for their memory or time, {number(h.passes.skipped)} left out because nothing was new. The last judged {number(h.passes.exchanges)} exchanges of {number(h.passes.accounts)} accounts and found {number(h.passes.campaigns)} campaigns, of which {number(h.passes.open)} may be acted upon; it took at most {bytes(h.passes.peak_bytes)} of memory.
                </p>
              ) : (
                <p>Passes are switched off in the configuration (passes.enabled).</p>
              )}
            </>
          );
        }}
      </Show>
    </Page>
  );
}
