import { useState } from "react";
import { post, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { many, number } from "../text";
import { Page, Show, Table } from "../ui";

const LIMIT = 100;

export function Audit() {
  const [url, set] = useUrl();
  const query = Object.fromEntries(["action", "subject", "actor", "before"].map((k) => [k, url.get(k) ?? undefined]));
  const list = useGet("/api/v1/audit", {}, { ...query, limit: LIMIT });
  const head = useGet("/api/v1/audit/head");
  const [report, setReport] = useState<Schemas["AuditReport"]>();
  const [problem, setProblem] = useState("");
  const verify = async () => {
    setProblem("");
    try {
      setReport(await post("/api/v1/audit/verify", {}, {}));
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <Page
      title="Audit log"
      aside={
        <button type="button" onClick={() => void verify()}>
          Verify
        </button>
      }
    >
      <div role="status">
        {problem && <p className="problem">{problem}</p>}
        {report && (
          <p className={report.ok ? "fine" : "problem"}>
            {report.ok ? `${many(report.records, "record")} in ${many(report.segments, "segment")}, none changed, removed or added.` : `${many(report.findings_total, "fault")}: ${report.findings[0]?.segment} line ${report.findings[0]?.line}: ${report.findings[0]?.what}`}
          </p>
        )}
      </div>
      {head.data && (
        <p className="soft">
          Head{" "}
          <code>
            {head.data.seq}:{head.data.hash}
          </code>
          : keep it elsewhere to prove later that nothing was cut off.
        </p>
      )}
      <form
        className="filters"
        onSubmit={(e) => {
          e.preventDefault();
          const form = new FormData(e.currentTarget);
          set({ action: String(form.get("action")), subject: String(form.get("subject")), actor: String(form.get("actor")), before: undefined });
        }}
      >
        {(["action", "subject", "actor"] as const).map((name) => (
          <label key={name}>
            {name[0]!.toUpperCase() + name.slice(1)}
            <input name={name} defaultValue={url.get(name) ?? ""} key={url.get(name)} />
          </label>
        ))}
        <button type="submit">Filter</button>
      </form>
      <Show of={list} empty={(d) => d.records.length === 0 && <p>No record fits.</p>}>
        {(d) => (
          <>
            <Table
              label="Audit records"
              rows={d.records}
              id={(r) => r.seq}
              columns={[
                { head: "No.", number: true, cell: (r) => number(r.seq) },
                { head: "Time, UTC", cell: (r) => r.time.slice(0, 19).replace("T", " ") },
                { head: "Who", cell: (r) => r.actor },
                { head: "Did", cell: (r) => r.action },
                { head: "To", cell: (r) => <code>{r.subject}</code> },
                {
                  head: "Details",
                  cell: (r) =>
                    Object.keys(r.details).length > 0 && (
                      <details>
                        <summary>show</summary>
                        <pre tabIndex={0}>{JSON.stringify(r.details, null, 1)}</pre>
                      </details>
                    ),
                },
              ]}
            />
            <nav className="pager" aria-label="Pages">
              <button type="button" disabled={!url.get("before")} onClick={() => set({ before: undefined })}>
                Newest
              </button>
              <button type="button" disabled={d.next_before === 0} onClick={() => set({ before: String(d.next_before) })}>
                Older
              </button>
            </nav>
          </>
        )}
      </Show>
    </Page>
  );
}
