import { useState } from "react";
import { Link } from "wouter";
import { type Finding, type Schemas } from "../api";
import { useGet, useKeys, useUrl } from "../hooks";
import { age, compact, day, likelihood, minute, number, percent, words } from "../text";
import { AccountLink, Figure, Meter, Page, Pager, Show, Table, Verdict } from "../ui";
import { Grade } from "./imports";
import { Dispose, WORDS, type Word } from "./dispose";

// The circumstances from which purpose may be inferred, in the order of the dossier.
const CIRCUMSTANCES: [string, string[]][] = [
  ["Volume, structure, pattern, coordination and timing", ["rhythm", "text", "manner", "replay"]],
  ["Concentration on specific capabilities", ["purpose"]],
  ["Several accounts used in a coordinated manner", ["network", "client", "enrolment", "payment"]],
  ["What others say of it", ["shared"]], // no family of evidence: a prior, and only where there is one
];
const TABS = ["evidence", "members", "history", "recompute"] as const;
const LIMIT = 50;

// Days as bars, split by model; moves to a new model and what was put in force meanwhile as lines.
function Timeline({ finding }: { finding: Finding }) {
  const days = finding.timeline;
  const policies = useGet("/api/v1/policies/activations", {}, { limit: 100 });
  if (days.length === 0) return null;
  const bans = (policies.data?.rows ?? []).filter((a) => a.at && days.some((d) => d.day === a.at!.slice(0, 10)));
  const top = Math.max(1, ...days.map((d) => d.exchanges));
  const models = Object.entries(finding.models)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 4)
    .map(([name]) => name);
  return (
    <figure>
      <figcaption className="axis">
        <span>exchanges per day, at most {number(top)}</span>
        <span className="key">
          {models.map((m, i) => (
            <span key={m}>
              <svg width="10" height="10" aria-hidden="true">
                <rect className={`m${i}`} width="10" height="10" rx="2" />
              </svg>{" "}
              {m || "not logged"}
            </span>
          ))}
        </span>
      </figcaption>
      <svg className="timeline" viewBox={`0 0 ${days.length} 100`} preserveAspectRatio="none" role="img" aria-label={`Exchanges per day from ${days[0]!.day} to ${days.at(-1)!.day}, at most ${number(top)}`}>
        {days.map((d, i) => {
          let y = 100;
          return (
            <g key={d.day}>
              <title>{`${d.day}: ${number(d.exchanges)} exchanges, ${number(d.accounts)} accounts`}</title>
              {models.map((m, k) => {
                const height = (100 * (d.models[m] ?? 0)) / top;
                y -= height;
                return height > 0 && <rect key={m} className={`m${k}`} x={i + 0.08} y={y} width={0.84} height={height} />;
              })}
            </g>
          );
        })}
        {finding.pivots.map((p) => {
          const at = days.findIndex((d) => d.day === p.ts.slice(0, 10));
          return at >= 0 && <line key={p.ts} x1={at} y1={0} x2={at} y2={100} />;
        })}
        {bans.map((a) => {
          const at = days.findIndex((d) => d.day === a.at!.slice(0, 10)) + Number(a.at!.slice(11, 13)) / 24;
          return <line key={a.id} className="ban" x1={at} y1={0} x2={at} y2={100} />;
        })}
      </svg>
      <div className="axis">
        <span>{days[0]!.day}</span>
        <span>{days.at(-1)!.day}</span>
      </div>
      {finding.pivots.map((p) => (
        <p key={p.ts} className="soft">
          {minute(p.ts)} UTC: {p.statement}
        </p>
      ))}
      {bans.map((a) => (
        <p key={a.id} className="soft">
          {minute(a.at)} UTC: {a.kind === "rollback" ? "back to policy version" : "policy version"} {a.version} in force{a.note && `, ${a.note}`} (<Link href={`/enforcement?version=${a.version}`}>what it does</Link>)
        </p>
      ))}
    </figure>
  );
}

// Who said what was imported and matches here.
function Origins({ finding, imports }: { finding: Finding; imports: NonNullable<Finding["imports"]> }) {
  return (
    <>
      <p className={finding.rests_on_imports ? "problem" : "soft"}>
        {finding.rests_on_imports ? "Without these imports there would be no accusation: it ends when they do." : "The verdict stands without these imports."}
      </p>
      <Table
        label="Imports that match"
        rows={imports}
        id={(i) => `${i.origin} ${i.id}`}
        columns={[
          { head: "Who says so", cell: (i) => <Link href={`/sharing/in?source=${encodeURIComponent(i.origin)}&campaign=${encodeURIComponent(i.campaign)}`}>{i.origin}</Link> },
          { head: "Grade", cell: (i) => <Grade grade={i.grade} /> },
          { head: "What", cell: (i) => words(i.type.replaceAll("-", " ")) },
          { head: "Indicator", cell: (i) => <code>{i.id}</code> },
          { head: "Accounts", number: true, cell: (i) => number(i.accounts) },
          { head: "Exchanges", number: true, cell: (i) => number(i.exchanges) },
        ]}
      />
    </>
  );
}

function Evidence({ finding }: { finding: Finding }) {
  return (
    <>
      {CIRCUMSTANCES.map(([title, families]) => {
        const rows = finding.evidence.filter((e) => families.includes(e.family));
        const imports = families.includes("shared") ? (finding.imports ?? []) : undefined;
        if (imports && imports.length + rows.length === 0) return null;
        return (
          <section key={title}>
            <h3>{title}</h3>
            {rows.length === 0 ? (
              <p className="soft">Nothing was measured here.</p>
            ) : (
              <Table
                label={title}
                rows={rows}
                id={(e) => e.statement}
                columns={[
                  { head: "Family", cell: (e) => e.family },
                  { head: "Bits", number: true, cell: (e) => <b className={e.bits < 0 ? "against" : undefined}>{e.bits.toFixed(1)}</b> },
                  {
                    head: "Statement",
                    cell: (e) => (
                      <>
                        {e.statement}
                        <br />
                        <span className="soft">Assumed otherwise: {e.null}</span>
                        {e.exchanges.length > 0 && (
                          <details>
                            <summary>{e.exchanges.length} exchanges that show it</summary>
                            {e.exchanges.map((x) => (
                              <code key={x}>{x} </code>
                            ))}
                          </details>
                        )}
                        {e.query && (
                          <details>
                            <summary>query</summary>
                            <pre tabIndex={0}>{e.query}</pre>
                          </details>
                        )}
                      </>
                    ),
                  },
                ]}
              />
            )}
            {imports && imports.length > 0 && <Origins finding={finding} imports={imports} />}
          </section>
        );
      })}
      <h3>Rival explanations</h3>
      <Table
        label="Rival explanations"
        rows={Object.entries(finding.verdicts).sort((a, b) => b[1] - a[1])}
        id={([verdict]) => verdict}
        columns={[
          { head: "Explanation", cell: ([verdict]) => <Verdict value={verdict} /> },
          { head: "Probability", number: true, cell: ([, p]) => p.toFixed(3) },
          { head: "", cell: ([verdict, p]) => <Meter share={p} label={verdict} /> },
        ]}
      />
      <p>{finding.would_change}</p>
      <h3>Attribution</h3>
      {finding.attribution.length === 0 ? (
        <p className="soft">None is stated. It would be kept apart from the findings above.</p>
      ) : (
        finding.attribution.map((a) => (
          <p key={a.actor}>
            {a.actor}: {likelihood(a.probability)}. Basis: {a.basis}
          </p>
        ))
      )}
    </>
  );
}

function Members({ id }: { id: string }) {
  const [url, set] = useUrl();
  const offset = Number(url.get("offset")) || 0;
  const list = useGet("/api/v1/campaigns/{id}/members", { id }, { offset, limit: LIMIT });
  return (
    <Show of={list} empty={(d) => d.total === 0 && <p>No account is kept for it.</p>}>
      {(d) => (
        <>
          <p className="soft">An account is judged apart from its campaign: the owner of a stolen key or a relay's customer is not accused.</p>
          <Table
            label="Members"
            rows={d.rows}
            id={(m) => m.account_id}
            columns={[
              { head: "Account", cell: (m) => <AccountLink id={m.account_id} /> },
              { head: "Verdict", cell: (m) => <Verdict value={m.verdict} /> },
              { head: "Prob.", number: true, cell: (m) => percent(m.probability) },
              { head: "Attributed", number: true, cell: (m) => number(m.attributed) },
              { head: "Of", number: true, cell: (m) => number(m.exchanges) },
              { head: "Why", cell: (m) => m.why },
            ]}
          />
          <Pager keys total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
        </>
      )}
    </Show>
  );
}

function History({ id }: { id: string }) {
  const events = useGet("/api/v1/campaigns/{id}/events", { id }, { limit: 200 });
  const said = useGet("/api/v1/campaigns/{id}/dispositions", { id });
  return (
    <>
      <h3>What people said</h3>
      <Show of={said} empty={(d) => d.total === 0 && <p>Nobody has said anything yet.</p>}>
        {(d) => (
          <ul className="log">
            {d.rows.map((r) => (
              <li key={r.revision}>
                <time dateTime={r.at ?? undefined}>{minute(r.at)}</time> <b>{r.person}</b>: {r.value}
                {r.look_alike && `, it was ${words(r.look_alike)}`} ({words(r.reason)}) {r.note && <q>{r.note}</q>}
                {r.probability !== null && (
                  <span className="soft">
                    {" "}
                    of {r.verdict} at {percent(r.probability)}, {number(r.exchanges)} exchanges
                  </span>
                )}
              </li>
            ))}
          </ul>
        )}
      </Show>
      <h3>What passes saw</h3>
      <Show of={events} empty={(d) => d.total === 0 && <p>No pass has changed it.</p>}>
        {(d) => (
          <ul className="log">
            {d.rows.map((e) => (
              <li key={e.id}>
                <time dateTime={e.at ?? undefined}>{minute(e.at)}</time> {e.kind} <span className="soft">pass {e.pass}</span>
              </li>
            ))}
          </ul>
        )}
      </Show>
    </>
  );
}

export function Campaign({ id }: { id: string; me: Schemas["Me"] }) {
  const campaign = useGet("/api/v1/campaigns/{id}", { id }, {}, 60_000);
  const [url, set] = useUrl();
  const [word, setWord] = useState<Word>();
  const tab = TABS.find((t) => t === url.get("tab")) ?? "evidence";
  useKeys(Object.fromEntries(Object.entries(WORDS).map(([key, w]) => [key, () => campaign.data && setWord(w)])));
  const c = campaign.data;
  const finding = (c?.finding ?? undefined) as Finding | undefined;
  return (
    <Page
      title={c?.name ?? id}
      aside={
        c && (
          <>
            <Link className="button" href={`/campaigns/${encodeURIComponent(id)}/graph`}>
              Network
            </Link>
            {(c.verdict === "distillation" || c.verdict === "unresolved") && c.status === "current" && c.disposition !== "dismissed" && (
              <Link className="button" href={`/sharing?campaign=${encodeURIComponent(id)}`}>
                Share
              </Link>
            )}
            <button type="button" className="primary" onClick={() => setWord("confirmed")}>
              Confirm <kbd>c</kbd>
            </button>
            <button type="button" onClick={() => setWord("dismissed")}>
              Dismiss <kbd>d</kbd>
            </button>
            <button type="button" onClick={() => setWord("unsure")}>
              Unsure <kbd>u</kbd>
            </button>
          </>
        )
      }
    >
      <Show of={campaign}>
        {(d) => (
          <>
            <p>
              <Verdict value={d.verdict} /> {likelihood(d.probability)} (probability {d.probability.toFixed(3)}); next likeliest: {d.rival} ({d.rival_probability.toFixed(3)})
            </p>
            {d.status === "merged" && (
              <p className="problem">
                It is now part of <Link href={`/campaigns/${encodeURIComponent(d.merged_into)}`}>another campaign</Link>.
              </p>
            )}
            {d.status === "gone" && <p className="problem">The last pass no longer found it. What is below is how it was last seen.</p>}
            {finding?.dismissed && (
              <p className="fine">
                {d.disposition === "dismissed" ? "It was dismissed" : "Most of it is a campaign that was dismissed"}, so it is neither told nor acted upon until there is new evidence: another family, a thousand times the odds, or four times the exchanges.
              </p>
            )}
            {finding?.open === false && !finding.dismissed && d.verdict === "distillation" && (
              <p className="problem">
                Seen too briefly to be told or acted upon: the gate on looking all the time lacks {finding.gate_bits_short?.toFixed(1)} bits. More traffic decides it.
              </p>
            )}
            {finding && <p className="lead">{finding.summary}</p>}
            <div className="figures">
              <Figure value={number(d.exchanges)} label="exchanges" />
              <Figure value={number(d.accounts)} label="accounts" />
              <Figure value={compact(d.input_tokens)} label="input tokens" />
              <Figure value={compact(d.output_tokens)} label="output tokens" />
              <Figure value={day(d.first_seen)} label="first seen, UTC" note={minute(d.first_seen).slice(11)} />
              <Figure value={day(d.last_seen)} label="last seen, UTC" note={`${minute(d.last_seen).slice(11)}, ${age(d.last_seen)} ago`} />
              <Figure value={d.disposition || "nothing"} label="said of it" note={d.owner ? `owner ${d.owner}` : "nobody's"} />
            </div>
            {finding && <Timeline finding={finding} />}
            {finding && (
              <div className="columns">
                <section>
                  <h2>Capabilities</h2>
                  <table className="plain">
                    <tbody>
                      {Object.entries(finding.capabilities)
                        .sort((a, b) => b[1] - a[1])
                        .filter(([, share]) => share >= 0.0005)
                        .slice(0, 8)
                        .map(([name, share]) => (
                          <tr key={name}>
                            <th scope="row">{words(name)}</th>
                            <td>
                              <Meter share={share} label={words(name)} />
                            </td>
                            <td className="n">{percent(share)}</td>
                          </tr>
                        ))}
                    </tbody>
                  </table>
                </section>
                <section>
                  <h2>Pools and templates</h2>
                  <table className="plain">
                    <tbody>
                      {finding.pools.slice(0, 8).map((p) => (
                        <tr key={p.id}>
                          <th scope="row">
                            <Link href={`/campaigns/${encodeURIComponent(id)}/graph?sel=${encodeURIComponent(`c:${p.id}`)}`}>
                              <code>{p.id}</code>
                            </Link>
                          </th>
                          <td className="n">{number(p.accounts)} accounts</td>
                        </tr>
                      ))}
                      {finding.templates.slice(0, 8).map((t) => (
                        <tr key={t.id}>
                          <th scope="row">
                            <Link href={`/holders?field=template&value=${encodeURIComponent(t.id)}&campaign=${encodeURIComponent(id)}`}>
                              <code>{t.id}</code>
                            </Link>
                          </th>
                          <td className="n">{number(t.exchanges)} exchanges</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </section>
              </div>
            )}
            {finding && finding.infrastructure.length > 0 && (
              <>
                <h2>Infrastructure</h2>
                <Table
                  label="Infrastructure"
                  rows={finding.infrastructure.slice(0, 20)}
                  id={(n) => `${n.class} ${n.asn} ${n.organisation}`}
                  columns={[
                    { head: "Network", cell: (n) => n.organisation || (n.asn > 0 ? "name not known" : "not known") },
                    { head: "Number", cell: (n) => (n.asn > 0 ? `AS${n.asn}` : "–") },
                    { head: "Kind", cell: (n) => words(n.class) || "–" },
                    { head: "Addresses", number: true, cell: (n) => number(n.addresses) },
                    { head: "Exchanges", number: true, cell: (n) => number(n.exchanges) },
                  ]}
                />
              </>
            )}
            <nav className="tabs" aria-label="Of this campaign">
              {TABS.map((t) => (
                <button key={t} type="button" aria-current={t === tab ? "true" : undefined} onClick={() => set({ tab: t === "evidence" ? undefined : t, offset: undefined })}>
                  {t}
                </button>
              ))}
            </nav>
            {tab === "evidence" && (finding ? <Evidence finding={finding} /> : <p>No finding is kept with it.</p>)}
            {tab === "members" && <Members id={id} />}
            {tab === "history" && <History id={id} />}
            {tab === "recompute" && finding && (
              <>
                <p>Every figure comes from the kept lake: stillwatch query --lake DIR with</p>
                {Object.entries(finding.queries).map(([figure, sql]) => (
                  <section key={figure}>
                    <h3>{figure}</h3>
                    <pre tabIndex={0}>{sql}</pre>
                  </section>
                ))}
              </>
            )}
          </>
        )}
      </Show>
      {word && c && <Dispose campaign={c} word={word} close={() => setWord(undefined)} done={campaign.again} />}
    </Page>
  );
}
