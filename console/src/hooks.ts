import { useCallback, useEffect, useRef, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { ApiError, get, type GetPath, type Got } from "./api";

export interface Loaded<T> {
  data: T | undefined; // the last answer stays while the next is asked for
  error: ApiError | undefined;
  loading: boolean;
  again: () => void;
}

// Asks when what is asked for changes, and again every `every` milliseconds while the page is seen.
export function useGet<P extends GetPath>(
  path: P,
  params: Record<string, string | number> = {},
  query: Record<string, string | number | undefined> = {},
  every = 0,
): Loaded<Got<P>> {
  const [state, setState] = useState<{ data?: Got<P>; error?: ApiError; loading: boolean }>({ loading: true });
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify([path, params, query]);
  useEffect(() => {
    const stop = new AbortController();
    setState((s) => ({ ...s, loading: true }));
    get(path, params, query, stop.signal).then(
      (data) => setState({ data, loading: false }),
      (error) => {
        if (!stop.signal.aborted) setState((s) => ({ ...s, error: error as ApiError, loading: false }));
      },
    );
    return () => stop.abort();
    // The key stands for path, params and query.
  }, [key, turn]);
  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => document.visibilityState === "visible" && setTurn((t) => t + 1), every);
    return () => clearInterval(timer);
  }, [every]);
  const again = useCallback(() => setTurn((t) => t + 1), []);
  return { data: state.data, error: state.error, loading: state.loading, again };
}

// A value that lives in the address, so that a link shows what its sender saw.
export function useUrl(): [URLSearchParams, (change: Record<string, string | undefined>, push?: boolean) => void] {
  const search = useSearch();
  const [path, navigate] = useLocation();
  const params = new URLSearchParams(search);
  const set = (change: Record<string, string | undefined>, push = true) => {
    const next = new URLSearchParams(search);
    for (const [key, value] of Object.entries(change)) {
      if (value) next.set(key, value);
      else next.delete(key);
    }
    const text = next.toString();
    navigate(text ? `${path}?${text}` : path, { replace: !push });
  };
  return [params, set];
}

// Keys that act while no field is being typed in and no dialog is open.
export function useKeys(keys: Record<string, () => void>): void {
  const now = useRef(keys);
  now.current = keys;
  useEffect(() => {
    const act = (e: KeyboardEvent) => {
      const at = e.target as HTMLElement;
      if (e.ctrlKey || e.metaKey || e.altKey || at.closest("input, textarea, select, [contenteditable], dialog")) return;
      const does = now.current[e.key];
      if (!does) return;
      e.preventDefault();
      does();
    };
    addEventListener("keydown", act);
    return () => removeEventListener("keydown", act);
  }, []);
}
