import { useState } from "react";
import { post, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { minute } from "../text";
import { AccountLink, Dialog, Field, Page, Pager, Show, Table, useSay } from "../ui";

const LIMIT = 50;
type Appeal = Schemas["Appeal"];

// Somebody wrote or called: the reference that the refusal quoted finds the account.
function Open({ close, done }: { close: () => void; done: () => void }) {
  const [ref, setRef] = useState("");
  const [account, setAccount] = useState("");
  const [message, setMessage] = useState("");
  const say = useSay();
  return (
    <Dialog
      title="Open an appeal"
      submit="Open it"
      onClose={close}
      onSubmit={async () => {
        const made = await post("/api/v1/appeals", {}, { ref, message, ...(account ? { account_id: account } : {}) });
        done();
        say({ text: `${made.ref} of ${made.account_id} is ${made.status}.` });
      }}
    >
      <Field label="Reference" hint="As the refusal quoted it, like SW-4XK2P-9M7RD-3TZ0; capitals and dashes do not matter.">
        {(id) => <input id={id} required value={ref} onChange={(e) => setRef(e.target.value)} />}
      </Field>
      <Field label="What they say">{(id) => <textarea id={id} rows={3} maxLength={4000} value={message} onChange={(e) => setMessage(e.target.value)} />}</Field>
      <Field label="Account" hint="Only where the audit log does not know the reference any more.">
        {(id) => <input id={id} value={account} onChange={(e) => setAccount(e.target.value)} />}
      </Field>
    </Dialog>
  );
}

export function Appeals({ me }: { me: Schemas["Me"] }) {
  const [url, set] = useUrl();
  const offset = Number(url.get("offset")) || 0;
  const status = url.get("status") ?? "";
  const list = useGet("/api/v1/appeals", {}, { status, offset, limit: LIMIT }, 30_000);
  const [step, setStep] = useState<{ row: Appeal; what: "uphold" | "overturn" }>();
  const [reason, setReason] = useState("");
  const [opening, setOpening] = useState(false);
  const say = useSay();
  const decides = me.roles.includes("analyst");
  return (
    <Page
      title="Appeals"
      aside={
        <button type="button" onClick={() => setOpening(true)}>
          Open one
        </button>
      }
    >
      <p className="soft">Whoever was refused got a reference. Overturning restores access at once and tells the evaluation.</p>
      <div className="filters">
        <label>
          Status
          <select value={status} onChange={(e) => set({ status: e.target.value, offset: undefined })}>
            <option value="">any</option>
            {["open", "upheld", "overturned"].map((s) => (
              <option key={s}>{s}</option>
            ))}
          </select>
        </label>
      </div>
      <Show of={list} empty={(d) => d.total === 0 && <p>No appeal{status ? ` is ${status}` : ""}.</p>}>
        {(d) => (
          <>
            <Table
              label="Appeals"
              rows={d.rows}
              id={(a) => a.ref}
              columns={[
                { head: "Reference", cell: (a) => <code>{a.ref}</code> },
                { head: "Status", cell: (a) => <b>{a.status}</b> },
                { head: "Account", cell: (a) => <AccountLink id={a.account_id} /> },
                { head: "Opened", cell: (a) => minute(a.opened_at) },
                { head: "What they say", cell: (a) => a.message },
                { head: "Decided", cell: (a) => (a.decided_at ? `${a.decided_by}, ${minute(a.decided_at)}: ${a.reason}` : "–") },
                {
                  head: "Do",
                  cell: (a) =>
                    a.status === "open" && decides ? (
                      <span className="actions">
                        {(["overturn", "uphold"] as const).map((what) => (
                          <button key={what} type="button" onClick={() => setStep({ row: a, what })}>
                            {what === "overturn" ? "Overturn" : "Uphold"}
                          </button>
                        ))}
                      </span>
                    ) : (
                      "–"
                    ),
                },
              ]}
            />
            <Pager keys total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
          </>
        )}
      </Show>
      {opening && <Open close={() => setOpening(false)} done={list.again} />}
      {step && (
        <Dialog
          title={step.what === "overturn" ? `Overturn ${step.row.ref}` : `Uphold ${step.row.ref}`}
          submit={step.what === "overturn" ? "Restore access" : "Uphold"}
          onClose={() => setStep(undefined)}
          onSubmit={async () => {
            await post(`/api/v1/appeals/{ref}/${step.what}`, { ref: step.row.ref }, { revision: step.row.revision, reason });
            list.again();
            say({ text: `${step.row.ref}: ${step.what === "overturn" ? "access is restored" : "upheld"}.` });
          }}
        >
          <Field label="Reason">{(id) => <textarea id={id} rows={3} required value={reason} onChange={(e) => setReason(e.target.value)} />}</Field>
        </Dialog>
      )}
    </Page>
  );
}
