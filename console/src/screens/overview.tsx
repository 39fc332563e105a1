import { Link } from "wouter";
import { useGet } from "../hooks";
import { ago, compact, minute, number, percent, words } from "../text";
import { Figure, Page, Show, Verdict } from "../ui";

export function Overview() {
  const accused = useGet("/api/v1/campaigns", {}, { verdict: "distillation", sort: "exchanges", order: "desc", limit: 8 }, 30_000);
  const open = useGet("/api/v1/campaigns", {}, { disposition: "none", limit: 1 }, 30_000);
  const appeals = useGet("/api/v1/appeals", {}, { status: "open", limit: 1 }, 30_000);
  const passes = useGet("/api/v1/passes", {}, { limit: 1 }, 30_000);
  const policy = useGet("/api/v1/policies/active", {}, {}, 30_000);
  const last = passes.data?.rows[0];
  return (
    <Page title="Overview">
      <div className="figures">
        <Figure value={accused.data ? number(accused.data.total) : "–"} label="campaigns found to be distillation" />
        <Figure value={open.data ? <Link href="/campaigns?disposition=none">{number(open.data.total)}</Link> : "–"} label="not yet looked at" />
        <Figure value={appeals.data ? <Link href="/appeals?status=open">{number(appeals.data.total)}</Link> : "–"} label="open appeals" />
        <Figure value={last ? ago(last.ended_at) : passes.data ? "never" : "–"} label="last pass" note={last && `${minute(last.ended_at)} UTC`} />
        <Figure value={policy.data ? (policy.data.version ? `version ${policy.data.version}` : "none") : "–"} label="policy in force" note={policy.data?.version ? `since ${minute(policy.data.activated_at)} UTC` : "nothing is enforced"} />
      </div>
      <h2>Largest campaigns</h2>
      <Show
        of={accused}
        empty={(d) =>
          d.total === 0 && (
            <>
              <p>No campaign is found to be distillation.</p>
              <p className="soft">{last ? "The last pass found none; what is unresolved is under Campaigns." : "No pass has ended yet: one starts when there is traffic to judge."}</p>
            </>
          )
        }
      >
        {(d) => (
          <ul className="cards">
            {d.rows.map((c) => (
              <li key={c.id}>
                <Link href={`/campaigns/${encodeURIComponent(c.id)}`} className="card">
                  <span className="card-head">
                    <b>{c.name}</b> <Verdict value={c.verdict} />
                  </span>
                  <span>
                    {compact(c.exchanges)} exchanges by {number(c.accounts)} accounts, mainly {words(c.capability) || "of many kinds"}
                  </span>
                  <span className="soft">
                    probability {percent(c.probability)} · last seen {ago(c.last_seen)} · {c.disposition || "not yet looked at"}
                  </span>
                </Link>
              </li>
            ))}
          </ul>
        )}
      </Show>
    </Page>
  );
}
