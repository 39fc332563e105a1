#include "ingest/jsonl/side_files.h"

#include <simdjson.h>
#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/str.h"
#include "base/time.h"
#include "ingest/jsonl/jsonl_source.h"
#include "ingest/jsonl/lines.h"

namespace stillwatch::ingest {

using base::StrCat;

struct AccountParser::State {
  simdjson::dom::parser parser;
};

AccountParser::AccountParser() : state_(std::make_unique<State>()) {}
AccountParser::~AccountParser() = default;

std::string AccountParser::Parse(std::string_view line, AccountRow* row) {
  *row = {};
  std::string problem;
  simdjson::dom::element e;
  if (const auto error = state_->parser.parse(line.data(), line.size(), true).get(e); error)
    return StrCat("record: not valid JSON: ", simdjson::error_message(error));
  if (!e.is_object()) return "record: expected an object";
  if (simdjson::dom::element id; e["exchange_id"].get(id) == simdjson::SUCCESS)
    return "exchange_id: this is an exchange and no account; it belongs into a log";
  uint64_t hash = 0;
  const auto text = [&](const char* key, std::string* out) {
    simdjson::dom::element v;
    if (e[key].get(v) != simdjson::SUCCESS || v.is_null()) return;
    std::string_view s;
    if (v.get(s) != simdjson::SUCCESS) {
      problem = StrCat(key, ": expected a string");
      return;
    }
    *out = s;
    hash = base::Combine64(hash, base::Combine64(base::Hash64(key), base::Hash64(s)));
  };
  model::Account& a = row->account;
  std::string created;
  text("account_id", &a.account_id);
  text("created_at", &created);
  text("org_id", &a.org_id);
  text("plan", &a.plan);
  text("channel", &a.channel);
  text("email_domain", &a.email_domain);
  text("payment_id", &a.payment_id);
  text("kyc", &a.kyc);
  text("referrer", &a.referrer);
  text("signup_ip", &a.signup_ip);
  text("country", &row->country);
  text("citizenship", &row->citizenship);
  simdjson::dom::element v;
  if (e["org_verified"].get(v) == simdjson::SUCCESS && !v.is_null() &&
      v.get(a.org_verified) != simdjson::SUCCESS) {
    problem = "org_verified: expected a boolean";
  }
  hash = base::Combine64(hash, a.org_verified);
  row->content = static_cast<uint32_t>(hash);
  if (!created.empty()) {
    a.created_at_ms = base::ParseRfc3339(created);
    if (!a.created_at_ms) {
      problem = StrCat("created_at: not RFC 3339 with a zone: \"", created.substr(0, 64), "\"");
    }
  }
  if (problem.empty() && a.account_id.empty()) problem = "account_id: missing";
  if (a.account_id.size() > kIdBytesMax)
    problem = StrCat("account_id: longer than ", kIdBytesMax, " bytes");
  return problem;
}

absl::Status ReadAccounts(const std::string& path,
                          const std::function<absl::Status(AccountRow)>& on_row,
                          const std::function<absl::Status(model::Reject)>& reject) {
  LineReader reader({path}, nullptr, [](std::string) {}, reject);
  AccountParser parser;
  Chunk chunk;
  for (;;) {
    auto more = reader.Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    uint64_t line = chunk.first_line;
    for (size_t at = 0; at < chunk.size; ++line) {
      const size_t begin = at;
      const size_t end = std::min(chunk.bytes.find('\n', at), chunk.size);
      at = end + 1;
      if (end == begin || (end == begin + 1 && chunk.bytes[begin] == '\r')) continue;
      AccountRow row;
      const std::string problem =
          parser.Parse(std::string_view(chunk.bytes).substr(begin, end - begin), &row);
      const absl::Status s =
          problem.empty()
              ? on_row(std::move(row))
              : reject({path, line, chunk.offset + begin, problem,
                        chunk.bytes.substr(begin, std::min<size_t>(end - begin, 1024))});
      if (!s.ok()) return s;
    }
  }
}

absl::Status LookAtAccounts(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return absl::OkStatus();  // a pipe is read once
  absl::Status found;
  const absl::Status enough = absl::CancelledError();
  (void)ReadAccounts(
      path, [&](const AccountRow&) { return enough; },
      [&](const model::Reject& r) {
        if (r.reason.starts_with("exchange_id: "))
          found = absl::InvalidArgumentError(StrCat(path, ":", r.line, ": ", r.reason));
        return enough;
      });
  return found;
}

namespace {

struct BadYaml {
  std::string what;
};

[[noreturn]] void Fail(const std::string& path, const YAML::Node& node, std::string what) {
  throw BadYaml{StrCat(path, ":", node.Mark().line + 1, ": ", what)};
}

std::string Scalar(const std::string& path, const YAML::Node& node, std::string_view key) {
  if (!node.IsScalar()) Fail(path, node, StrCat(key, ": expected a single value"));
  return node.Scalar();
}

std::vector<std::string> Strings(const std::string& path, const YAML::Node& node, std::string_view key) {
  if (!node.IsSequence()) Fail(path, node, StrCat(key, ": expected a list"));
  std::vector<std::string> out;
  for (const auto& item : node) out.push_back(Scalar(path, item, key));
  return out;
}

template <typename T>
absl::StatusOr<std::vector<T>> ReadYaml(const std::string& path,
                                        const std::function<T(const YAML::Node&)>& entry) {
  if (absl::Status s = CheckReadable(path); !s.ok()) return s;
  try {
    const YAML::Node root = YAML::LoadFile(path);
    std::vector<T> out;
    if (root.IsNull()) return out;
    if (!root.IsSequence()) Fail(path, root, "expected a list of entries");
    for (const auto& node : root) {
      if (!node.IsMap()) Fail(path, node, "expected an entry with keys");
      out.push_back(entry(node));
    }
    return out;
  } catch (const BadYaml& bad) {
    return absl::InvalidArgumentError(bad.what);
  } catch (const YAML::BadFile&) {
    return absl::InvalidArgumentError(StrCat(path, ": cannot be opened"));
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(StrCat(path, ":", e.mark.line + 1, ": not valid YAML: ", e.msg));
  }
}

}  // namespace

absl::StatusOr<std::vector<model::Permit>> ReadPermits(const std::string& path) {
  return ReadYaml<model::Permit>(path, [&](const YAML::Node& node) {
    model::Permit p;
    const auto time = [&](const YAML::Node& v, std::string_view key) {
      const auto ms = base::ParseRfc3339(Scalar(path, v, key));
      if (!ms) Fail(path, v, StrCat(key, ": not RFC 3339 with a zone"));
      return *ms;
    };
    for (const auto& kv : node) {
      const std::string key = kv.first.Scalar();
      const YAML::Node& v = kv.second;
      if (key == "id") p.id = Scalar(path, v, key);
      else if (key == "org_id") p.org_id = Scalar(path, v, key);
      else if (key == "account_ids") p.account_ids = Strings(path, v, key);
      else if (key == "models") p.models = Strings(path, v, key);
      else if (key == "valid_from") p.valid_from_ms = time(v, key);
      else if (key == "valid_until") p.valid_until_ms = time(v, key);
      else if (key == "exchanges_max") {
        char* end;
        const std::string text = Scalar(path, v, key);
        errno = 0;
        p.exchanges_max = std::strtoull(text.c_str(), &end, 10);
        if (text.empty() || text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0) Fail(path, v, "exchanges_max: expected a whole number");
      } else {
        Fail(path, kv.first, StrCat("unknown key \"", key, "\" of a permit"));
      }
    }
    if (p.id.empty()) Fail(path, node, "a permit needs an id");
    if (p.valid_from_ms >= p.valid_until_ms) Fail(path, node, "valid_until: not after valid_from");
    if (p.org_id.empty() == p.account_ids.empty()) Fail(path, node, "a permit needs either org_id or account_ids");
    return p;
  });
}

absl::StatusOr<std::vector<model::KnownActor>> ReadKnownActors(const std::string& path) {
  return ReadYaml<model::KnownActor>(path, [&](const YAML::Node& node) {
    model::KnownActor a;
    for (const auto& kv : node) {
      const std::string key = kv.first.Scalar();
      const YAML::Node& v = kv.second;
      if (key == "actor") a.actor = Scalar(path, v, key);
      else if (key == "basis") a.basis = Scalar(path, v, key);
      else if (key == "reliability") {
        const std::string r = Scalar(path, v, key);
        if (r.size() != 1 || r[0] < 'A' || r[0] > 'F') Fail(path, v, "reliability: expected a letter from A to F");
        a.reliability = r[0];
      } else if (key == "traits") {
        if (!v.IsSequence()) Fail(path, v, "traits: expected a list");
        for (const auto& t : v) {
          if (!t.IsMap() || !t["family"] || !t["value"]) Fail(path, t, "a trait needs family and value");
          for (const auto& inner : t) {
            const std::string name = inner.first.Scalar();
            if (name != "family" && name != "value") {
              Fail(path, inner.first, StrCat("unknown key \"", name, "\" of a trait"));
            }
          }
          a.traits.push_back({Scalar(path, t["family"], "family"), Scalar(path, t["value"], "value")});
        }
      } else if (key == "templates") {
        if (!v.IsSequence()) Fail(path, v, "templates: expected a list of hash lists");
        for (const auto& t : v) {
          std::vector<uint32_t> hashes;
          for (const std::string& h : Strings(path, t, "templates")) {
            char* end;
            const unsigned long long hash = std::strtoull(h.c_str(), &end, 0);
            if (h.empty() || h[0] < '0' || h[0] > '9' || *end != 0 || hash > UINT32_MAX) {
              Fail(path, t, StrCat("templates: not a 32-bit hash: \"", h.substr(0, 64), "\""));
            }
            hashes.push_back(static_cast<uint32_t>(hash));
          }
          a.templates.push_back(std::move(hashes));
        }
      } else {
        Fail(path, kv.first, StrCat("unknown key \"", key, "\" of a known actor"));
      }
    }
    if (a.actor.empty()) Fail(path, node, "a known actor needs a name (actor)");
    return a;
  });
}

absl::StatusOr<std::vector<TraitRow>> ReadTraits(const std::string& path) {
  if (absl::Status s = CheckReadable(path); !s.ok()) return s;
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::InvalidArgumentError(StrCat(path, ": cannot be opened"));
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::vector<TraitRow> out;
  std::vector<std::string> cells;
  uint64_t line = 1, row_line = 1;
  const auto bad = [&](std::string_view what) {
    return absl::InvalidArgumentError(StrCat(path, ":", row_line, ": ", what));
  };
  bool header = true;
  for (size_t i = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; i < text.size();) {
    cells.assign(1, "");
    row_line = line;
    enum { kStart, kBare, kQuoted, kClosed } state = kStart;
    bool done = false;
    while (i < text.size() && !done) {
      const char c = text[i++];
      line += c == '\n';
      if (state == kQuoted) {
        if (c != '"') {
          cells.back().push_back(c);
        } else if (i < text.size() && text[i] == '"') {
          cells.back().push_back('"');
          ++i;
        } else {
          state = kClosed;
        }
      } else if (c == ',') {
        cells.emplace_back();
        state = kStart;
      } else if (c == '\n') {
        done = true;
      } else if (c == '\r' && (i == text.size() || text[i] == '\n')) {
        continue;
      } else if (state == kClosed) {
        return bad("something follows a closing quote; write a quote inside a value twice");
      } else if (c == '"' && state == kStart) {
        state = kQuoted;
      } else {
        cells.back().push_back(c);
        state = kBare;
      }
    }
    if (state == kQuoted) return bad("a quoted value does not end");
    if (header) {
      const bool known = cells.size() == 3 || (cells.size() == 4 && cells[3] == "ts");
      if (!known || cells[0] != "account_id" || cells[1] != "family" || cells[2] != "value") {
        return bad("expected the header account_id,family,value[,ts]");
      }
      header = false;
      continue;
    }
    if (cells.size() == 1 && cells[0].empty()) continue;
    if (cells.size() < 3 || cells.size() > 4 || cells[0].empty() || cells[1].empty() || cells[2].empty()) {
      return bad("expected account_id,family,value[,ts]");
    }
    out.push_back({cells[0], cells[1], cells[2]});
  }
  if (header) return bad("empty; expected the header account_id,family,value[,ts]");
  return out;
}

}  // namespace stillwatch::ingest
