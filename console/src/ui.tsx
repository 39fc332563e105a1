// The few parts that every screen is made of.
import { createContext, useContext, useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { Link } from "wouter";
import type { ApiError } from "./api";
import { useKeys, type Loaded } from "./hooks";
import { number, percent } from "./text";

export function Page({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Stillwatch`;
  }, [title]);
  return (
    <>
      <header className="page-head">
        <h1>{title}</h1>
        {aside && <div className="page-aside">{aside}</div>}
      </header>
      {children}
    </>
  );
}

export function Problem({ error, again }: { error: ApiError; again?: () => void }) {
  const what =
    error.status === 401 ? "Your token is not known, or has expired." : error.status === 403 ? "Your token does not have the role for this." : error.status === 404 ? "There is nothing here." : "This could not be loaded.";
  return (
    <div className="problem" role="alert">
      <strong>{what}</strong>
      <p>{error.message}</p>
      {again && error.status !== 403 && error.status !== 404 && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

// What was loaded, or why it is not there yet.
export function Show<T>({ of, children, empty }: { of: Loaded<T>; children: (data: T) => ReactNode; empty?: (data: T) => ReactNode | false }) {
  if (of.data === undefined) return of.error ? <Problem error={of.error} again={of.again} /> : <p className="soft" aria-busy="true">Loading…</p>;
  const nothing = empty?.(of.data);
  return (
    <>
      {of.error && <Problem error={of.error} again={of.again} />}
      {nothing ? <div className="empty">{nothing}</div> : children(of.data)}
    </>
  );
}

export function Verdict({ value }: { value: string }) {
  return <span className={`badge v-${value}`}>{value}</span>;
}

export function Meter({ share, label }: { share: number; label: string }) {
  const width = Math.max(0, Math.min(1, share));
  return (
    <svg className="meter" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={`${label}: ${percent(share)}`}>
      <rect className="meter-back" width="100" height="8" rx="1" />
      <rect className="meter-bar" width={100 * width} height="8" rx="1" />
    </svg>
  );
}

export function Figure({ value, label, note }: { value: ReactNode; label: string; note?: ReactNode }) {
  return (
    <div className="figure">
      <b>{value}</b>
      <span>{label}</span>
      {note && <span className="soft">{note}</span>}
    </div>
  );
}

export interface Column<Row> {
  head: string;
  key?: string | number; // where heads may be the same
  cell: (row: Row) => ReactNode;
  number?: boolean;
  sort?: string;
}

// A table whose chosen row follows the keys; on a narrow screen each row becomes a card.
export function Table<Row>({
  columns,
  rows,
  id,
  label,
  chosen,
  choose,
  sort,
  onSort,
}: {
  columns: Column<Row>[];
  rows: readonly Row[];
  id: (row: Row) => string | number;
  label: string;
  chosen?: number;
  choose?: (index: number) => void;
  sort?: { by: string; order: string };
  onSort?: (by: string) => void;
}) {
  const body = useRef<HTMLTableSectionElement>(null);
  useEffect(() => {
    if (chosen !== undefined) body.current?.rows[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((c) => {
              const sorted = c.sort && sort?.by === c.sort ? (sort.order === "asc" ? "ascending" : "descending") : undefined;
              return (
                <th key={c.key ?? c.head} scope="col" className={c.number ? "n" : undefined} aria-sort={sorted}>
                  {c.sort && onSort ? (
                    <button type="button" className="sort" onClick={() => onSort(c.sort!)}>
                      {c.head}
                      <span aria-hidden="true">{sorted === "ascending" ? " ↑" : sorted === "descending" ? " ↓" : ""}</span>
                    </button>
                  ) : (
                    c.head
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody ref={body}>
          {rows.map((row, i) => (
            <tr key={id(row)} aria-selected={chosen === i ? true : undefined} className={chosen === i ? "chosen" : undefined} onClick={choose && (() => choose(i))}>
              {columns.map((c) => (
                <td key={c.key ?? c.head} className={c.number ? "n" : undefined} data-head={c.head}>
                  <div>{c.cell(row)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// `keys`: n and p turn its pages; for one pager of a screen.
export function Pager({ total, offset, limit, go, keys = false }: { total: number; offset: number; limit: number; go: (offset: number) => void; keys?: boolean }) {
  useKeys(
    keys
      ? {
          n: () => offset + limit < total && go(offset + limit),
          p: () => offset > 0 && go(Math.max(0, offset - limit)),
        }
      : {},
  );
  if (total <= limit && offset === 0) return <p className="soft pager">{number(total)} in all</p>;
  return (
    <nav className="pager" aria-label="Pages">
      <button type="button" disabled={offset === 0} onClick={() => go(Math.max(0, offset - limit))}>
        Previous
      </button>
      <span className="soft">
        {number(Math.min(total, offset + 1))} to {number(Math.min(total, offset + limit))} of {number(total)}
      </span>
      <button type="button" disabled={offset + limit >= total} onClick={() => go(offset + limit)}>
        Next
      </button>
    </nav>
  );
}

// A question that must be answered; Escape takes it back.
export function Dialog({ title, children, onClose, onSubmit, submit, danger }: { title: string; children: ReactNode; onClose: () => void; onSubmit: () => Promise<void | false>; submit: string; danger?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const heading = useId();
  useEffect(() => {
    ref.current?.showModal();
  }, []);
  const go = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      if ((await onSubmit()) !== false) onClose(); // false: a step, and more is to be answered
    } catch (problem) {
      setError(problem as ApiError);
    } finally {
      setBusy(false);
    }
  };
  return (
    <dialog ref={ref} aria-labelledby={heading} onClose={onClose}>
      <form onSubmit={go}>
        <h2 id={heading}>{title}</h2>
        {children}
        {error && (
          <div className="problem" role="alert">
            <strong>{error.status === 409 ? "Somebody was first." : "It was not done."}</strong>
            <p>{error.message}</p>
          </div>
        )}
        <div className="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className={danger ? "danger" : "primary"} disabled={busy}>
            {submit}
          </button>
        </div>
      </form>
    </dialog>
  );
}

export function Field({ label, children, hint }: { label: string; children: (id: string) => ReactNode; hint?: string }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id)}
      {hint && <span className="soft">{hint}</span>}
    </div>
  );
}

// One sentence at the foot of the page, with a way back where there is one.
interface Said {
  text: string;
  undo?: () => Promise<void>;
}
const Say = createContext<(said: Said) => void>(() => {});
export const useSay = () => useContext(Say);

export function Saying({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState<Said>();
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(undefined), 10_000);
    return () => clearTimeout(timer);
  }, [said]);
  const undo = async () => {
    const back = said?.undo;
    setSaid(undefined);
    try {
      await back?.();
      setSaid({ text: "Taken back." });
    } catch (problem) {
      setSaid({ text: `It could not be taken back: ${(problem as Error).message}` });
    }
  };
  useKeys({ ...(said?.undo && { z: () => void undo() }) });
  return (
    <Say.Provider value={setSaid}>
      {children}
      <div className="said" role="status">
        {said && (
          <div>
            <span>{said.text}</span>
            {said.undo && (
              <button type="button" onClick={undo}>
                Undo <kbd aria-hidden="true">z</kbd>
              </button>
            )}
          </div>
        )}
      </div>
    </Say.Provider>
  );
}

export const AccountLink = ({ id }: { id: string }) => (
  <Link href={`/accounts/${encodeURIComponent(id)}`}>
    <code className="id">{id}</code>
  </Link>
);
