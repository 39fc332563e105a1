#!/usr/bin/env python3
"""Asks Stillwatch about one request. Exit status 0: serve it, 3: refuse it. Standard library only.

  decide.py --account ID [--key ID] [--model NAME] [--ip ADDRESS] [--text TEXT] [--url URL] [--token TOKEN] [--timeout S]
"""
import argparse, json, sys, urllib.error, urllib.request

TIMEOUT_S = .2  # as long as a request may wait for a decision


def decide(url, question, token="", timeout=TIMEOUT_S):
    """The answer, or None when there is none in time: then the request passes."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url + "/v1/decide", json.dumps(question).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as e:  # our own mistake: a token, a field
        print(f"decide: {e.code} {e.read().decode(errors='replace')[:500]}", file=sys.stderr)
    except (OSError, ValueError) as e:
        print(f"decide: no answer: {e}", file=sys.stderr)
    return None


def main():
    p = argparse.ArgumentParser()
    for name, key in (("account", "account_id"), ("key", "api_key_id"), ("model", "model"), ("ip", "client_ip")):
        p.add_argument(f"--{name}", dest=key)
    p.add_argument("--text")
    p.add_argument("--url", default="http://127.0.0.1:8080")
    p.add_argument("--token", default="")
    p.add_argument("--timeout", type=float, default=TIMEOUT_S)
    o = vars(p.parse_args())
    url, token, text, timeout = (o.pop(name) for name in ("url", "token", "text", "timeout"))
    question = {k: v for k, v in o.items() if v}
    if text:
        question["messages"] = [{"role": "user", "content": text}]
    answer = decide(url, question, token, timeout)
    print(json.dumps(answer))
    sys.exit(3 if answer and answer["action"] in ("throttle", "verify", "deny") else 0)


if __name__ == "__main__":
    main()
