// Policies: propose, see what they would have done, approve as another person, activate, go back.
import { useState } from "react";
import { post, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { minute, number } from "../text";
import { Dialog, Field, Page, Pager, Show, Table, useSay } from "../ui";

const LIMIT = 25;
type Row = Schemas["PolicyRow"];
type Step = { what: "approve" | "activate" | "withdraw"; row: Row } | { what: "propose" } | { what: "rollback" };

// A policy is proposed only once it was tried as it stands: how many accounts it touches is read
// before it is confirmed.
export function Propose({ close, done }: { close: () => void; done: () => void }) {
  const active = useGet("/api/v1/policies/active");
  const [text, setText] = useState<string>();
  const [note, setNote] = useState("");
  const [faults, setFaults] = useState<string[]>([]);
  const [tried, setTried] = useState<Schemas["DryRun"] & { of: string }>();
  const say = useSay();
  const policy = text ?? active.data?.text ?? "";
  const ready = tried?.of === policy;
  const submit = async () => {
    if (ready) {
      const row = await post("/api/v1/policies", {}, { text: policy, note });
      done();
      say({ text: `Version ${row.version} is ${row.status}${row.needs_approval ? "; another person has to approve it" : ""}.` });
      return;
    }
    setTried(undefined);
    const found = await post("/api/v1/policies/validate", {}, { text: policy });
    setFaults(found.valid ? [] : found.faults);
    if (found.valid) setTried({ ...(await post("/api/v1/policies/dry-run", {}, { text: policy })), of: policy });
    return false;
  };
  return (
    <Dialog title="Propose a policy" submit={ready ? `Propose it: ${number(tried.touched)} ${tried.touched === 1 ? "account" : "accounts"}` : "Try it"} onClose={close} onSubmit={submit}>
      <Field label="Policy (YAML)">{(id) => <textarea id={id} className="code" rows={16} required spellCheck={false} value={policy} onChange={(e) => setText(e.target.value)} />}</Field>
      <Field label="Why">{(id) => <input id={id} required value={note} onChange={(e) => setNote(e.target.value)} />}</Field>
      <div role="status">
        {faults.length > 0 && (
          <ul className="problem">
            {faults.map((f) => (
              <li key={f}>{f}</li>
            ))}
          </ul>
        )}
        {ready && <Tried run={tried} />}
        {!ready && faults.length === 0 && <p className="soft">It is tried on the last day of traffic first; nothing changes by that.</p>}
      </div>
    </Dialog>
  );
}

interface Tally {
  accounts_touched?: number;
  requests_touched?: number;
}

// What a dry run said, by rule where it says so.
export function Tried({ run }: { run: Schemas["DryRun"] }) {
  const rules = Object.entries(((run.report as { rules?: Record<string, Tally> } | null)?.rules ?? {}) as Record<string, Tally>);
  return (
    <>
      <p>
        It would have touched <b>{number(run.touched)}</b> {run.touched === 1 ? "account" : "accounts"} of the last day. {run.enforces ? "" : "It enforces nothing: all is recorded only. "}
        {run.needs_approval ? `Above ${number(run.approval_above)}, another person has to approve.` : ""}
      </p>
      {rules.length > 0 && (
        <Table
          label="By rule, as if all were enforced"
          rows={rules}
          id={([name]) => name}
          columns={[
            { head: "Rule, as if enforced", cell: ([name]) => name },
            { head: "Accounts", number: true, cell: ([, t]) => number(t.accounts_touched ?? 0) },
            { head: "Requests", number: true, cell: ([, t]) => number(t.requests_touched ?? 0) },
          ]}
        />
      )}
    </>
  );
}

// `active`: the version that was seen in force; when another one is by now, the service says so.
function Confirm({ step, active, close, done }: { step: Exclude<Step, { what: "propose" }>; active: number; close: () => void; done: () => void }) {
  const [note, setNote] = useState("");
  const say = useSay();
  const row = step.what === "rollback" ? undefined : step.row;
  const title = row ? `${step.what[0]!.toUpperCase()}${step.what.slice(1)} version ${row.version}` : "Back to what was active before";
  const submit = async () => {
    if (step.what === "rollback") await post("/api/v1/policies/rollback", {}, { expected_active: active, note });
    else if (step.what === "activate") await post("/api/v1/policies/{version}/activate", { version: step.row.version }, { expected_active: active, note });
    else if (step.what === "approve") await post("/api/v1/policies/{version}/approve", { version: step.row.version }, { revision: step.row.revision, note });
    else await post("/api/v1/policies/{version}/withdraw", { version: step.row.version }, { revision: step.row.revision });
    done();
    say({ text: `${title}: done.` });
  };
  return (
    <Dialog title={title} submit={step.what === "rollback" ? "Roll back" : step.what} danger={step.what !== "approve"} onClose={close} onSubmit={submit}>
      {row && (
        <p>
          It touched <b>{number(row.touched)}</b> accounts of the last day when it was proposed by {row.proposed_by}.
        </p>
      )}
      {step.what !== "withdraw" && <Field label="Why">{(id) => <input id={id} required value={note} onChange={(e) => setNote(e.target.value)} />}</Field>}
    </Dialog>
  );
}

function Version({ version }: { version: number }) {
  const one = useGet("/api/v1/policies/{version}", { version });
  return (
    <>
      <h2>Version {version}</h2>
      <Show of={one}>{(p) => <pre tabIndex={0}>{p.text}</pre>}</Show>
    </>
  );
}

export function Enforcement({ me }: { me: Schemas["Me"] }) {
  const [url, set] = useUrl();
  const offset = Number(url.get("offset")) || 0;
  const list = useGet("/api/v1/policies", {}, { offset, limit: LIMIT }, 30_000);
  const shown = Number(url.get("version")) || 0;
  const active = useGet("/api/v1/policies/active", {}, {}, 30_000);
  const [step, setStep] = useState<Step>();
  const may = (role: "analyst" | "approver") => me.roles.includes(role);
  return (
    <Page
      title="Enforcement"
      aside={
        <>
          <button type="button" className="primary" onClick={() => setStep({ what: "propose" })}>
            Propose
          </button>
          <button type="button" onClick={() => setStep({ what: "rollback" })}>
            Roll back
          </button>
        </>
      }
    >
      <p className="soft">What is not enforced is recorded: who would have been refused, throttled or asked to verify, and why.</p>
      <Show of={list} empty={(d) => d.total === 0 && <p>No policy yet: every decision is to allow.</p>}>
        {(d) => (
          <>
            <Table
              label="Versions of the policy"
              rows={d.rows}
              id={(r) => r.version}
              columns={[
                {
                  head: "Version",
                  cell: (r) => (
                    <button type="button" className="link" onClick={() => set({ version: String(r.version) })}>
                      {r.version}
                    </button>
                  ),
                },
                { head: "Status", cell: (r) => <b>{r.status}</b> },
                { head: "Accounts touched", number: true, cell: (r) => number(r.touched) },
                { head: "Proposed", cell: (r) => `${r.proposed_by}, ${minute(r.proposed_at)}` },
                { head: "Approved by", cell: (r) => r.approvals.map((a) => a.person).join(", ") || (r.needs_approval ? "waits for a second person" : "not needed") },
                { head: "Active since", cell: (r) => (r.activated_at ? minute(r.activated_at) : "–") },
                { head: "Why", cell: (r) => r.note },
                {
                  head: "Do",
                  cell: (r) => (
                    <span className="actions">
                      {r.status === "proposed" && r.needs_approval && may("approver") && r.proposed_by !== me.person && (
                        <button type="button" onClick={() => setStep({ what: "approve", row: r })}>
                          Approve
                        </button>
                      )}
                      {(r.status === "approved" || (r.status === "proposed" && !r.needs_approval)) && (
                        <button type="button" onClick={() => setStep({ what: "activate", row: r })}>
                          Activate
                        </button>
                      )}
                      {(r.status === "proposed" || r.status === "approved") && (
                        <button type="button" onClick={() => setStep({ what: "withdraw", row: r })}>
                          Withdraw
                        </button>
                      )}
                    </span>
                  ),
                },
              ]}
            />
            <Pager keys total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
          </>
        )}
      </Show>
      {shown > 0 && <Version version={shown} />}
      {step?.what === "propose" && <Propose close={() => setStep(undefined)} done={list.again} />}
      {step && step.what !== "propose" && <Confirm step={step} active={active.data?.version ?? 0} close={() => setStep(undefined)} done={() => (list.again(), active.again())} />}
    </Page>
  );
}
