// Who must be refused what by order, and who has bought what: as the policy in force says it.
import { useState } from "react";
import { post, type Schemas } from "../api";
import { useGet } from "../hooks";
import { minute, number } from "../text";
import { Meter, Page, Show, Table, useSay } from "../ui";
import { Propose, Tried } from "./enforcement";

type Directive = Schemas["Directives"]["directives"][number];
type Permit = Schemas["Directives"]["permits"][number];

// "3 days", of a span that is over or to come.
function span(ms: number): string {
  for (const [size, name] of [[86_400_000, "day"], [3_600_000, "hour"], [60_000, "minute"]] as const) {
    const n = Math.floor(Math.abs(ms) / size);
    if (n >= 1) return `${number(n)} ${name}${n === 1 ? "" : "s"}`;
  }
  return "less than a minute";
}

function when(from: string | null, until: string | null, now: number): string {
  if (from && Date.parse(from) > now) return `begins in ${span(Date.parse(from) - now)}`;
  if (until && Date.parse(until) <= now) return `ended ${span(now - Date.parse(until))} ago`;
  return until ? `in force, ends in ${span(Date.parse(until) - now)}` : "in force, no end";
}

const UNKNOWN = { allow: "let through", verify: "asked to verify", deny: "refused" };

function demands(d: Directive): string {
  const parts = d.require.map((r) => `${r.key} ${r.values.join(" or ")}`);
  if (d.proof.length > 0) parts.push(`proven by ${d.proof.join(" or ")}`);
  if (d.lists.length > 0) parts.push(`not on ${d.lists.join(", ")}`);
  return parts.join(", ") || "–";
}

function Left({ permit, now }: { permit: Permit; now: number }) {
  if (permit.exchanges_max === 0) return <>{number(permit.used)} used, no bound</>;
  const left = Math.max(0, permit.exchanges_max - permit.used);
  const over = permit.valid_until !== null && Date.parse(permit.valid_until) <= now;
  return (
    <>
      {number(left)} of {number(permit.exchanges_max)}
      {left === 0 && !over && ": used up, it allows nothing any more"}
      <Meter share={left / permit.exchanges_max} label={`Left of ${permit.id}`} />
    </>
  );
}

export function Directives() {
  const list = useGet("/api/v1/directives", {}, {}, 15_000);
  const active = useGet("/api/v1/policies/active");
  const [tried, setTried] = useState<Schemas["DryRun"]>();
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [proposing, setProposing] = useState(false);
  const say = useSay();
  const tryIt = async () => {
    const text = active.data?.text;
    if (!text) return say({ text: "The policy in force is a file of the service: try it with stillwatch policy check." });
    setBusy(true);
    setProblem("");
    try {
      setTried(await post("/api/v1/policies/dry-run", {}, { text }));
    } catch (error) {
      setProblem((error as Error).message);
    }
    setBusy(false);
  };
  return (
    <Page
      title="Directives and permits"
      aside={
        <>
          <button type="button" disabled={busy} onClick={() => void tryIt()}>
            Try on the last day
          </button>
          <button type="button" className="primary" onClick={() => setProposing(true)}>
            Change
          </button>
        </>
      }
    >
      <p className="soft">A directive stands above permits, appeals and lists. It asks for what was verified about an account; finding and judging never read that.</p>
      <div role="status">
        {problem && <p className="problem">{problem}</p>}
        {tried && <Tried run={tried} />}
      </div>
      <Show of={list}>
        {(d) => {
          const now = Date.parse(d.now ?? "") || Date.now();
          return (
            <>
              <p className="soft">
                {d.source === "state" ? `As policy version ${d.version} says, which is in force.` : d.source === "file" ? "As the service's policy file says: no version is active." : "No policy is in force."}
              </p>
              <h2>Directives</h2>
              {d.directives.length === 0 ? (
                <div className="empty">
                  <p>None is in the policy. A directive refuses models to whoever does not hold what an order requires; docs/POLICY.md works one out.</p>
                </div>
              ) : (
                <Table
                  label="Directives"
                  rows={d.directives}
                  id={(x) => x.id}
                  columns={[
                    {
                      head: "Directive",
                      cell: (x) => (
                        <>
                          <b>{x.id}</b>
                          <br />
                          <span className="soft">{x.basis}</span>
                        </>
                      ),
                    },
                    { head: "Models", cell: (x) => x.models.join(", ") || "every model" },
                    {
                      head: "When, UTC",
                      cell: (x) => (
                        <>
                          {when(x.effective_from, x.effective_until, now)}
                          <br />
                          <span className="soft">
                            {x.effective_from ? minute(x.effective_from) : "always"} to {x.effective_until ? minute(x.effective_until) : "no end"}
                          </span>
                        </>
                      ),
                    },
                    { head: "Who may use them", cell: demands },
                    { head: "The others", cell: (x) => (x.action === "verify" ? "asked to verify" : "refused") },
                    { head: "Who is not known", cell: (x) => UNKNOWN[x.unknown] },
                    { head: "Enforced", cell: (x) => (x.enforce ? <b>yes</b> : "no, recorded only") },
                  ]}
                />
              )}
              <h2>Permits</h2>
              {d.permits.length === 0 ? (
                <div className="empty">
                  <p>None is in the policy. A permit lets one organisation, or some accounts, use models up to a number of exchanges.</p>
                </div>
              ) : (
                <Table
                  label="Permits"
                  rows={d.permits}
                  id={(p) => p.id}
                  columns={[
                    { head: "Permit", cell: (p) => <b>{p.id}</b> },
                    { head: "For", cell: (p) => (p.org_id ? `organisation ${p.org_id}` : `${number(p.accounts)} accounts`) },
                    { head: "Models", cell: (p) => p.models.join(", ") || "every model" },
                    { head: "Exchanges left", cell: (p) => <Left permit={p} now={now} /> },
                    { head: "When", cell: (p) => when(p.valid_from, p.valid_until, now) },
                  ]}
                />
              )}
            </>
          );
        }}
      </Show>
      {proposing && <Propose close={() => setProposing(false)} done={() => (list.again(), active.again())} />}
    </Page>
  );
}
