// The frame: who is asking, where they are, and the keys that work everywhere.
import { useEffect, useRef, useState, type FormEvent, type ReactNode } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { get, token, type ApiError, type Schemas } from "./api";
import { useKeys } from "./hooks";
import { Account } from "./screens/account";
import { Audit } from "./screens/audit";
import { Campaign } from "./screens/campaign";
import { Compare } from "./screens/compare";
import { Detector } from "./screens/detector";
import { Directives } from "./screens/directives";
import { Enforcement } from "./screens/enforcement";
import { GraphScreen } from "./screens/graph";
import { Holders } from "./screens/holders";
import { Hunt } from "./screens/hunt";
import { Appeals } from "./screens/appeals";
import { Lists } from "./screens/lists";
import { Imports } from "./screens/imports";
import { Ingest } from "./screens/ingest";
import { Overview } from "./screens/overview";
import { Queue } from "./screens/queue";
import { Settings } from "./screens/settings";
import { Sharing } from "./screens/sharing";
import { Page, Problem, Saying } from "./ui";

const PLACES = [
  { path: "/", name: "Overview", key: "1" },
  { path: "/campaigns", name: "Campaigns", key: "2" },
  { path: "/hunt", name: "Hunt", key: "3" },
  { path: "/enforcement", name: "Enforcement", key: "4" },
  { path: "/directives", name: "Directives", key: "5" },
  { path: "/appeals", name: "Appeals", key: "6" },
  { path: "/lists", name: "Lists", key: "7" },
  { path: "/sharing", name: "Sharing", key: "8" },
  { path: "/detector", name: "Detector", key: "9" },
  { path: "/ingest", name: "Ingest", key: "0" },
  { path: "/audit", name: "Audit log", key: "." },
  { path: "/settings", name: "Settings", key: "," },
];

function Login({ error, enter }: { error?: ApiError; enter: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    token.set(field.current?.value.trim() ?? "");
    enter();
  };
  return (
    <main className="login" id="main">
      <h1>Stillwatch</h1>
      <p>This service asks for a token with the role analyst.</p>
      {error && token.get() && <Problem error={error} />}
      <form onSubmit={submit}>
        <label htmlFor="token">Token</label>
        <input ref={field} id="token" type="password" autoComplete="off" spellCheck={false} required autoFocus />
        <button type="submit" className="primary">
          Enter
        </button>
      </form>
      <p className="soft">It is kept until this tab is closed and sent to this service alone.</p>
    </main>
  );
}

function Help({ close }: { close: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  const keys: [string, string][] = [
    ["j, k", "next, previous row"],
    ["Enter", "open it"],
    ["c, d, u", "confirm, dismiss, unsure"],
    ["o", "make it mine"],
    ["/", "search"],
    ["n, p", "next, previous page"],
    ["1 to 0", "the screens, as they are listed; full stop: the audit log, comma: settings"],
    ["z", "undo what was just done"],
    ["Ctrl Enter", "run the query (hunt)"],
    ["arrows, + − 0", "from element to element, nearer, farther, all (network)"],
    ["Enter, Backspace", "open or close a cluster, to the one around it (network)"],
    ["g", "back"],
    ["?", "this list"],
  ];
  return (
    <dialog ref={ref} onClose={close} aria-labelledby="keys">
      <h2 id="keys">Keys</h2>
      <dl className="keys">
        {keys.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <div className="actions">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </dialog>
  );
}

function Frame({ me, children }: { me: Schemas["Me"]; children: ReactNode }) {
  const [path, navigate] = useLocation();
  const [help, setHelp] = useState(false);
  useKeys({
    ...Object.fromEntries(PLACES.map((p) => [p.key, () => navigate(p.path)])),
    "?": () => setHelp(true),
    g: () => history.back(),
  });
  const here = (place: string) => (place === "/" ? path === "/" : path === place || path.startsWith(`${place}/`));
  return (
    <div className="frame">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <nav aria-label="Screens">
        <Link href="/" className="mark">
          <img src="/icon.svg" alt="" width="22" height="22" />
          Stillwatch
        </Link>
        <ul>
          {PLACES.map((p) => (
            <li key={p.path}>
              <Link href={p.path} aria-current={here(p.path) ? "page" : undefined}>
                {p.name}
              </Link>
            </li>
          ))}
        </ul>
        <div className="who">
          <span>{me.person}</span>
          <button type="button" onClick={() => setHelp(true)}>
            Keys <kbd>?</kbd>
          </button>
        </div>
      </nav>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      {help && <Help close={() => setHelp(false)} />}
    </div>
  );
}

export function App() {
  const [me, setMe] = useState<Schemas["Me"]>();
  const [error, setError] = useState<ApiError>();
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    get("/api/v1/me").then(
      (who) => {
        setMe(who);
        setError(undefined);
      },
      (problem) => {
        setMe(undefined);
        setError(problem as ApiError);
      },
    );
  }, [turn]);
  const again = () => setTurn((t) => t + 1);
  useEffect(() => {
    const out = (e: Event) => {
      setMe(undefined);
      setError((e as CustomEvent<ApiError>).detail);
    };
    addEventListener("stillwatch-401", out);
    return () => removeEventListener("stillwatch-401", out);
  }, []);
  if (!me) {
    if (!error) return <main id="main" aria-busy="true" />;
    if (error.status === 401 || error.status === 403) return <Login error={error} enter={again} />;
    return (
      <main className="login" id="main">
        <h1>Stillwatch</h1>
        <Problem error={error} again={again} />
      </main>
    );
  }
  return (
    <Saying>
      <Frame me={me}>
        <Switch>
          <Route path="/">
            <Overview />
          </Route>
          <Route path="/campaigns">
            <Queue me={me} />
          </Route>
          <Route path="/campaigns/:id">{({ id }) => <Campaign id={decodeURIComponent(id)} me={me} />}</Route>
          <Route path="/campaigns/:id/graph">{({ id }) => <GraphScreen id={decodeURIComponent(id)} />}</Route>
          <Route path="/compare">
            <Compare />
          </Route>
          <Route path="/holders">
            <Holders />
          </Route>
          <Route path="/accounts/:id">{({ id }) => <Account id={decodeURIComponent(id)} />}</Route>
          <Route path="/hunt">
            <Hunt />
          </Route>
          <Route path="/enforcement">
            <Enforcement me={me} />
          </Route>
          <Route path="/directives">
            <Directives />
          </Route>
          <Route path="/appeals">
            <Appeals me={me} />
          </Route>
          <Route path="/lists">
            <Lists me={me} />
          </Route>
          <Route path="/sharing">
            <Sharing me={me} />
          </Route>
          <Route path="/sharing/in">
            <Imports />
          </Route>
          <Route path="/detector">
            <Detector />
          </Route>
          <Route path="/ingest">
            <Ingest />
          </Route>
          <Route path="/audit">
            <Audit />
          </Route>
          <Route path="/settings">
            <Settings me={me} />
          </Route>
          <Route path="/index.html">
            <Redirect to="/" />
          </Route>
          <Route>
            <Page title="Nothing here">
              <p>
                This page does not exist. <Link href="/">To the overview</Link>
              </p>
            </Page>
          </Route>
        </Switch>
      </Frame>
    </Saying>
  );
}
