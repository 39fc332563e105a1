#include "respond/policy.h"

#include <arpa/inet.h>
#include <simdjson.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/json.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::respond {
namespace {

using base::StrAppend;
using base::StrCat;

constexpr double kContainmentMin = .4;             // below, it is no longer that template
constexpr int64_t kTimeMax = 253'402'300'800'000;  // the year 10000
constexpr int64_t kSpanMax = 10 * 366 * base::kMsPerDay;

std::string Lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c;
  return out;
}

struct TooManyErrors {};

// Collects faults; what could not be read keeps its default, and the policy is not used.
class Reader {
 public:
  explicit Reader(std::string_view name) : name_(name) {}

  void Fail(const YAML::Node& at, std::string_view where, std::string_view what) {
    StrAppend(&errors_, errors_.empty() ? "" : "\n", name_, ":", at.Mark().line + 1, ": ", where,
              where.empty() ? "" : ": ", what);
    if (++count_ >= kPolicyErrorsMax) throw TooManyErrors{};
  }
  const std::string& errors() const { return errors_; }
  std::string_view name() const { return name_; }

  // Calls on_key for each known key, once. `known` is a list of words.
  void Map(const YAML::Node& node, const std::string& where, std::string_view known,
           const std::function<void(const std::string& key, const YAML::Node& value)>& on_key) {
    if (!node.IsMap()) return Fail(node, where, "expected keys with values");
    std::set<std::string> seen;
    for (const auto& kv : node) {
      if (!kv.first.IsScalar()) {
        Fail(kv.first, where, "a key is a plain word");
        continue;
      }
      const std::string key = kv.first.Scalar();
      if (StrCat(" ", known, " ").find(StrCat(" ", key, " ")) == std::string::npos ||
          key.find(' ') != std::string::npos || key.empty()) {
        Fail(kv.first, where,
             StrCat("unknown key \"", Short(key), "\"; known here: ", std::string(known)));
      } else if (!seen.insert(key).second) {
        Fail(kv.first, StrCat(where, where.empty() ? "" : ".", key),
             "appears twice; keep one of them");
      } else {
        on_key(key, kv.second);
      }
    }
  }

  void List(const YAML::Node& node, const std::string& where, size_t max,
            const std::function<void(const YAML::Node& item, const std::string& where)>& on_item) {
    if (node.IsNull()) return;
    if (!node.IsSequence()) return Fail(node, where, "expected a list");
    if (node.size() > max) {
      return Fail(node, where, StrCat(node.size(), " entries; at most ", max, " are taken"));
    }
    size_t i = 0;
    for (const auto& item : node) on_item(item, StrCat(where, "[", i++, "]"));
  }

  std::string Text(const YAML::Node& v, const std::string& where, size_t max = kNameBytesMax) {
    if (!v.IsScalar() || v.Scalar().empty()) {
      Fail(v, where, "expected a single value");
    } else if (v.Scalar().size() > max) {
      Fail(v, where, StrCat("longer than ", max, " bytes"));
    } else if (!simdjson::validate_utf8(v.Scalar())) {
      Fail(v, where, "not UTF-8");
    } else if (std::any_of(v.Scalar().begin(), v.Scalar().end(),
                           [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; })) {
      Fail(v, where, "holds a control character; remove it");
    } else {
      return v.Scalar();
    }
    return "";
  }
  // Stands in audit logs, metrics and URLs.
  std::string Id(const YAML::Node& v, const std::string& where) {
    std::string s = Text(v, where, 64);
    for (const char c : s) {
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') {
        Fail(v, where, StrCat("\"", Short(s), "\": letters, digits, - _ . alone"));
        return "";
      }
    }
    return s;
  }
  // A list of names, or one name. Sorted, each once.
  std::vector<std::string> Names(const YAML::Node& v, const std::string& where,
                                 bool may_be_empty = false) {
    std::vector<std::string> out;
    if (v.IsScalar()) {
      out.push_back(Text(v, where));
    } else {
      List(v, where, kNamesMax,
           [&](const YAML::Node& item, const std::string& at) { out.push_back(Text(item, at)); });
      if (out.empty() && !may_be_empty && (v.IsNull() || v.IsSequence())) {
        Fail(v, where, "empty; name at least one, or leave the key out");
      }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }
  bool Bool(const YAML::Node& v, const std::string& where) {
    if (v.IsScalar()) {
      if (v.Scalar() == "true") return true;
      if (v.Scalar() == "false") return false;
    }
    Fail(v, where, "expected true or false");
    return false;
  }
  double Number(const YAML::Node& v, const std::string& where, double low, double high) {
    double d = 0;
    const std::string s = v.IsScalar() ? v.Scalar() : "";
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), d);
    if (error != std::errc() || end != s.data() + s.size() || !std::isfinite(d)) {
      Fail(v, where, "expected a number");
      return low;
    }
    if (d < low || d > high) {
      Fail(v, where, StrCat(Short(s), " is out of range; ", Plain(low), " to ", Plain(high)));
      return low;
    }
    return d == 0 ? 0 : d;  // no -0
  }
  uint64_t Whole(const YAML::Node& v, const std::string& where, uint64_t low, uint64_t high) {
    uint64_t n = 0;
    const std::string s = v.IsScalar() ? v.Scalar() : "";
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (error != std::errc() || end != s.data() + s.size() || n < low || n > high) {
      Fail(v, where, StrCat("expected a whole number, ", low, " to ", high));
      return low;
    }
    return n;
  }
  int64_t Time(const YAML::Node& v, const std::string& where) {
    const auto ms = v.IsScalar() ? base::ParseRfc3339(v.Scalar()) : std::nullopt;
    if (!ms || *ms < 0 || *ms >= kTimeMax) {
      Fail(v, where, "not a time as 2026-06-12T00:00:00Z (RFC 3339, with a zone)");
      return 0;
    }
    return *ms;
  }
  // "14d", "12h", "30m", "90s".
  int64_t Span(const YAML::Node& v, const std::string& where) {
    const std::string s = v.IsScalar() ? v.Scalar() : "";
    uint64_t n = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    const std::string_view unit(end, static_cast<size_t>(s.data() + s.size() - end));
    const int64_t ms = unit == "s"   ? 1'000
                       : unit == "m" ? 60'000
                       : unit == "h" ? base::kMsPerHour
                       : unit == "d" ? base::kMsPerDay
                                     : 0;
    if (error != std::errc() || ms == 0 || n == 0 || n > static_cast<uint64_t>(kSpanMax / ms)) {
      Fail(v, where, "expected a span as 14d, 12h, 30m or 90s, at most ten years");
      return 1;
    }
    return static_cast<int64_t>(n) * ms;
  }
  // One or more of the names of an enum, as a mask.
  uint32_t Mask(const YAML::Node& v, const std::string& where, int values,
                const std::function<const char*(int)>& name) {
    uint32_t mask = 0;
    for (const std::string& s : Names(v, where)) {
      if (s.empty()) continue;  // said already
      int found = -1;
      for (int i = 0; i < values; ++i) {
        if (s == name(i)) found = i;
      }
      if (found < 0) {
        Fail(v, where, StrCat("\"", Short(s), "\" is none of ", All(values, name)));
      } else {
        mask |= 1u << found;
      }
    }
    return mask;
  }
  int One(const YAML::Node& v, const std::string& where, int values,
          const std::function<const char*(int)>& name) {
    const std::string s = Text(v, where);
    for (int i = 0; i < values; ++i) {
      if (s == name(i)) return i;
    }
    if (!s.empty()) Fail(v, where, StrCat("\"", Short(s), "\" is none of ", All(values, name)));
    return 0;
  }

  static std::string Short(std::string_view s) { return std::string(s.substr(0, 64)); }

 private:
  static std::string All(int values, const std::function<const char*(int)>& name) {
    std::string out;
    for (int i = 0; i < values; ++i) StrAppend(&out, i > 0 ? ", " : "", name(i));
    return out;
  }
  static std::string Plain(double d) {
    std::string out;
    base::AppendJsonNumber(d, &out);
    return out;
  }

  const std::string name_;
  std::string errors_;
  size_t count_ = 0;
};

// The words of each enum by number.
const char* NameOfAction(int i) { return ActionName(static_cast<Action>(i)); }
const char* NameOfOwn(int i) { return OwnName(static_cast<Own>(i)); }
const char* NameOfTier(int i) { return TierName(static_cast<Tier>(i)); }
const char* NameOfKyc(int i) { return KycName(static_cast<Kyc>(i)); }
const char* NameOfBy(int i) { return ByName(static_cast<By>(i)); }
const char* NameOfCapability(int i) {
  return model::CapabilityName(static_cast<model::Capability>(i));
}
const char* NameOfPer(int i) { return i == 0 ? "account" : "campaign"; }
const char* NameOfUnknown(int i) {
  static constexpr const char* kNames[] = {"allow", "verify", "deny"};
  return kNames[i];
}
const char* NameOfListKind(int i) {
  static constexpr const char* kNames[] = {"allow", "deny", "entities"};
  return kNames[i];
}
constexpr const char* kEntryKinds[] = {"account", "key", "org", "address"};

struct Unit {
  const char* name;
  int64_t ms;
};
constexpr Unit kUnits[] = {
    {"second", 1'000}, {"minute", 60'000}, {"hour", base::kMsPerHour}, {"day", base::kMsPerDay}};
constexpr uint32_t Bit(Own v) { return 1u << static_cast<int>(v); }

// What may be done about whom: docs/POLICY.md, "What a rule may do".
constexpr uint32_t kSpared = Bit(Own::kVictim) | Bit(Own::kPermitted);

class PolicyReader {
 public:
  PolicyReader(Reader* r, Policy* p) : r_(*r), p_(*p) {}

  void Read(const YAML::Node& root) {
    bool version = false;
    r_.Map(
        root, "",
        "version name approval_above lockout_share_max rules recognition directives lists "
        "permits",
        [&](const std::string& key, const YAML::Node& v) {
          if (key == "version") {
            version = true;
            r_.Whole(v, key, 1, 1);
          } else if (key == "name") {
            p_.name = r_.Text(v, key);
          } else if (key == "approval_above") {
            p_.approval_above = r_.Whole(v, key, 0, uint64_t{1} << 53);
          } else if (key == "lockout_share_max") {
            p_.lockout_share_max = r_.Number(v, key, 0, 1);
          } else if (key == "rules" || key == "recognition") {
            const bool recognition = key == "recognition";
            r_.List(v, key, kRulesMax, [&](const YAML::Node& item, const std::string& at) {
              (recognition ? p_.recognition : p_.rules).push_back(OneRule(item, at, recognition));
            });
          } else if (key == "directives") {
            r_.List(v, key, kDirectivesMax, [&](const YAML::Node& item, const std::string& at) {
              p_.directives.push_back(OneDirective(item, at));
            });
          } else if (key == "lists") {
            r_.List(v, key, kListsMax, [&](const YAML::Node& item, const std::string& at) {
              p_.lists.push_back(OneList(item, at));
            });
          } else if (key == "permits") {
            r_.List(v, key, kPermitsMax, [&](const YAML::Node& item, const std::string& at) {
              p_.permits.push_back(OnePermit(item, at));
            });
          }
        });
    if (root.IsMap() && !version) {
      r_.Fail(root, "version", "missing; this language is version: 1");
    }
    std::unordered_map<std::string, ListKind> lists;
    for (const List& l : p_.lists) lists.emplace(l.name, l.kind);
    for (const auto& [list, at, node] : wanted_lists_) {
      const auto it = lists.find(list);
      if (it == lists.end()) {
        r_.Fail(node, at,
                StrCat("no list is called \"", Reader::Short(list), "\"; add it to lists"));
      } else if (it->second != ListKind::kEntities) {
        r_.Fail(node, at, StrCat("list \"", Reader::Short(list), "\" is not of kind entities"));
      }
    }
  }

 private:
  // Rules, directives, lists and permits share one name space: a decision names one of them.
  std::string Unique(const YAML::Node& v, const std::string& at) {
    std::string id = r_.Id(v, at);
    if (!id.empty() && !ids_.insert(id).second) {
      r_.Fail(v, at,
              StrCat("\"", id,
                     "\" is taken; rules, directives, lists and permits need names of their own"));
    }
    return id;
  }

  Throttle Rate(const YAML::Node& v, const std::string& at) {
    Throttle t;
    const std::string s = r_.Text(v, at);
    const size_t slash = s.find('/');
    uint32_t n = 0;
    if (slash != std::string::npos) {
      const auto [end, error] = std::from_chars(s.data(), s.data() + slash, n);
      if (error != std::errc() || end != s.data() + slash) n = 0;
      for (const Unit& u : kUnits) {
        if (std::string_view(s).substr(slash + 1) == u.name) t.period_ms = u.ms;
      }
    }
    t.count = n;
    if (n == 0 || n > 1'000'000 || t.period_ms == 0) {
      r_.Fail(v, at,
              "expected a rate as 60/minute: 1 to 1000000 a second, minute, hour or day "
              "(to refuse all, use action: deny)");
      t = {1, 1'000, 1, Per::kAccount};
    } else if (t.period_ms * 16 < n) {
      r_.Fail(v, at, "more than 16000 a second; that throttles nobody");
    }
    return t;
  }

  // A default YAML::Node counts as defined.
  using Maybe = std::optional<YAML::Node>;
  struct Acts {
    Maybe action, rate, burst, per, reduce_to;
    // Whether the key is one of these.
    bool Take(const std::string& key, const YAML::Node& v) {
      for (const auto& [name, to] : {std::pair{"action", &action},
                                     {"rate", &rate},
                                     {"burst", &burst},
                                     {"per", &per},
                                     {"reduce_to", &reduce_to}}) {
        if (key != name) continue;
        to->emplace(v);
        return true;
      }
      return false;
    }
  };
  // What goes with an action and what contradicts it.
  void Act(const YAML::Node& node, const std::string& where, const Acts& a, Action action,
           Throttle* throttle, std::string* reduce_to) {
    if (action == Action::kThrottle) {
      if (!a.rate) {
        r_.Fail(node, where, "action throttle needs a rate, such as rate: 60/minute");
      } else {
        *throttle = Rate(*a.rate, where + ".rate");
      }
      if (a.burst) {
        throttle->burst = static_cast<uint32_t>(r_.Whole(*a.burst, where + ".burst", 1, 1'000'000));
        if (throttle->count > 0 && static_cast<double>(throttle->burst) *
                                           static_cast<double>(throttle->period_ms) /
                                           throttle->count >
                                       static_cast<double>(366 * base::kMsPerDay)) {
          r_.Fail(*a.burst, where + ".burst", "takes more than a year to fill at this rate");
        }
      }
      if (throttle->count > throttle->period_ms * int64_t{throttle->burst} && a.rate) {
        r_.Fail(*a.rate, where + ".rate",
                StrCat("time is counted in milliseconds: so high a rate needs a burst of at least ",
                       (throttle->count + throttle->period_ms - 1) / throttle->period_ms));
      }
      if (a.per) {
        throttle->per = static_cast<Per>(r_.One(*a.per, where + ".per", 2, NameOfPer));
      }
    } else {
      using Named = std::pair<const char*, const Maybe*>;
      for (const auto& [name, v] :
           {Named("rate", &a.rate), Named("burst", &a.burst), Named("per", &a.per)}) {
        if (*v) {
          r_.Fail(
              **v, StrCat(where, ".", name),
              StrCat("contradicts action ", ActionName(action), "; it belongs to action throttle"));
        }
      }
    }
    if (action == Action::kReduce) {
      if (!a.reduce_to) {
        r_.Fail(node, where,
                "action reduce needs reduce_to, the name of the tier that the gateway maps");
      } else {
        *reduce_to = r_.Id(*a.reduce_to, where + ".reduce_to");
      }
    } else if (a.reduce_to) {
      r_.Fail(*a.reduce_to, where + ".reduce_to",
              StrCat("contradicts action ", ActionName(action), "; it belongs to action reduce"));
    }
  }

  static std::vector<std::string> LowerAll(std::vector<std::string> names) {
    for (std::string& n : names) n = Lower(n);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

  Match OneMatch(const YAML::Node& node, const std::string& where, bool recognition) {
    Match m;
    Maybe probability, tier;
    bool any = false;
    r_.Map(node, where,
           recognition
               ? "by containment_min probability_min probability_max tier capability campaign kyc "
                 "org_verified known plan model channel"
               : "verdict probability_min probability_max tier capability campaign kyc "
                 "org_verified known plan model channel",
           [&](const std::string& key, const YAML::Node& v) {
             const std::string at = where + "." + key;
             any = true;
             if (key == "verdict") {
               m.verdicts = r_.Mask(v, at, kOwns, NameOfOwn);
             } else if (key == "probability_min") {
               m.probability_min = r_.Number(v, at, 0, 1);
               probability = v;
             } else if (key == "probability_max") {
               m.probability_max = r_.Number(v, at, 0, 1);
               probability = v;
             } else if (key == "tier") {
               m.tiers = r_.Mask(v, at, kTiers, NameOfTier);
               tier = v;
             } else if (key == "capability") {
               m.capabilities = r_.Mask(v, at, model::kCapabilities, NameOfCapability);
             } else if (key == "campaign") {
               m.campaigns = r_.Names(v, at);
             } else if (key == "kyc") {
               m.kycs = r_.Mask(v, at, kKycs, NameOfKyc);
             } else if (key == "org_verified") {
               m.org_verified = r_.Bool(v, at);
             } else if (key == "known") {
               m.known = r_.Bool(v, at);
             } else if (key == "plan") {
               m.plans = r_.Names(v, at);
             } else if (key == "model") {
               m.models = LowerAll(r_.Names(v, at));
             } else if (key == "channel") {
               m.channels = r_.Names(v, at);
             } else if (key == "by") {
               m.by = r_.Mask(v, at, kBys, NameOfBy);
             } else if (key == "containment_min") {
               m.containment_min = r_.Number(v, at, kContainmentMin, 1);
             }
           });
    if (!node.IsMap()) return m;
    for (const auto& [key, names] : {std::pair{"plan", &m.plans}, std::pair{"channel", &m.channels},
                                     std::pair{"campaign", &m.campaigns}}) {
      for (const std::string& n : *names) {
        if (n.find('*') != std::string::npos) {
          r_.Fail(node[key], StrCat(where, ".", std::string_view(key)),
                  "takes whole names; \"*\" is for models");
        }
      }
    }
    if (!any) r_.Fail(node, where, "empty; a rule for everybody is no rule: state a condition");
    if (probability && tier) {
      r_.Fail(*tier, where + ".tier",
              "contradicts probability_min or probability_max; a tier is a range of probability: "
              "keep one of the two");
    }
    if (m.probability_min > m.probability_max) {
      r_.Fail(*probability, where, "probability_min is above probability_max; nothing matches");
    }
    if (m.known == false && (!m.plans.empty() || (m.kycs & ~(1u << int(Kyc::kUnknown))) != 0 ||
                             (!recognition && m.AsksFinding()))) {
      r_.Fail(node, where,
              "known: false contradicts plan, kyc and conditions on findings, which only a known "
              "account has");
    }
    if (recognition && m.by == 0 && any) {
      r_.Fail(node, where, "by is missing: template, sketch, replay, or several of them");
    }
    if (recognition && m.by == 1u << int(By::kReplay) && node["containment_min"].IsDefined()) {
      r_.Fail(node["containment_min"], where + ".containment_min",
              "contradicts by: replay; a signature is presented or is not");
    }
    // Only distillation accuses, so conditions on a finding mean that unless they say more.
    if (!recognition && m.verdicts == 0 && m.AsksFinding()) m.verdicts = Bit(Own::kDistillation);
    return m;
  }

  Rule OneRule(const YAML::Node& node, const std::string& where, bool recognition) {
    Rule rule;
    rule.line = node.Mark().line + 1;
    Acts acts;
    Maybe match, expires_after, beyond;
    bool enforce_stated = false;
    r_.Map(node, where,
           recognition ? "id match action enforce beyond_verify rate burst per reduce_to until "
                         "expires_after"
                       : "id match action enforce rate burst per reduce_to until expires_after",
           [&](const std::string& key, const YAML::Node& v) {
             const std::string at = where + "." + key;
             if (acts.Take(key, v)) return;
             if (key == "id")
               rule.id = Unique(v, at);
             else if (key == "match")
               match = v;
             else if (key == "enforce")
               rule.enforce = r_.Bool(v, at), enforce_stated = true;
             else if (key == "beyond_verify")
               beyond = v, rule.beyond_verify = r_.Bool(v, at);
             else if (key == "until")
               rule.until_ms = r_.Time(v, at);
             else if (key == "expires_after")
               expires_after = v, rule.expires_after_ms = r_.Span(v, at);
           });
    if (!node.IsMap()) return rule;
    if (!node["id"].IsDefined())
      r_.Fail(node, where, "id is missing; decisions name the rule by it");
    if (match) {
      rule.match = OneMatch(*match, where + ".match", recognition);
    } else {
      r_.Fail(node, where, "match is missing; state who or what the rule is about");
    }
    if (!acts.action) {
      r_.Fail(node, where, "action is missing: observe, throttle, verify, reduce, deny or allow");
      return rule;
    }
    rule.action =
        static_cast<Action>(r_.One(*acts.action, where + ".action", kActions, NameOfAction));
    Act(node, where, acts, rule.action, &rule.throttle, &rule.reduce_to);
    const Match& m = rule.match;
    if (rule.throttle.per == Per::kCampaign && !recognition && !m.AsksFinding()) {
      r_.Fail(*acts.per, where + ".per",
              "campaign needs a condition on a finding, such as verdict: distillation");
    }
    if (expires_after && !recognition && !m.AsksFinding()) {
      r_.Fail(*expires_after, where + ".expires_after",
              "counts from when a campaign was last seen, and the rule asks for none; use until");
    }
    const bool harsh = rule.action == Action::kReduce || rule.action == Action::kDeny;
    if (recognition) {
      if (harsh && !rule.beyond_verify) {
        r_.Fail(*acts.action, where + ".action",
                StrCat("scaffolds get published, so recognition alone may observe, throttle or "
                       "verify; if you mean ",
                       ActionName(rule.action), ", add beyond_verify: true"));
      }
      if (!harsh && beyond) {
        r_.Fail(*beyond, where + ".beyond_verify",
                StrCat("contradicts action ", ActionName(rule.action),
                       ", which needs none; remove it"));
      }
    } else if (m.AsksFinding()) {
      if (harsh && m.verdicts != Bit(Own::kDistillation)) {
        r_.Fail(*acts.action, where + ".action",
                StrCat("only verdict distillation accuses; others may be observed, throttled or "
                       "verified, not met with ",
                       ActionName(rule.action)));
      } else if (rule.action == Action::kThrottle && (m.verdicts & kSpared) != 0) {
        r_.Fail(*acts.action, where + ".action",
                "a victim and a permitted account may be observed or verified alone: act on the "
                "template (recognition) or the campaign's own accounts");
      }
    }
    if (rule.action == Action::kAllow && enforce_stated && !rule.enforce) {
      r_.Fail(node["enforce"], where + ".enforce",
              "false contradicts action allow, which spares and does nothing else; remove the rule "
              "instead");
    }
    if (rule.action == Action::kAllow) rule.enforce = true;
    return rule;
  }

  Directive OneDirective(const YAML::Node& node, const std::string& where) {
    Directive d;
    d.line = node.Mark().line + 1;
    bool models = false;
    Maybe require, proof, unknown;
    r_.Map(node, where,
           "id basis models effective_from effective_until require proof listed unknown action "
           "enforce",
           [&](const std::string& key, const YAML::Node& v) {
             const std::string at = where + "." + key;
             if (key == "id") {
               d.id = Unique(v, at);
             } else if (key == "basis") {
               d.basis = r_.Text(v, at, 1024);
             } else if (key == "models") {
               models = true;
               d.models = LowerAll(r_.Names(v, at));
             } else if (key == "effective_from") {
               d.from_ms = r_.Time(v, at);
             } else if (key == "effective_until") {
               d.until_ms = r_.Time(v, at);
             } else if (key == "require") {
               require = v;
               Require(v, at, &d);
             } else if (key == "proof") {
               proof = v;
               d.proof = r_.Mask(v, at, kKycs, NameOfKyc);
               if (d.proof & 1u << int(Kyc::kUnknown)) {
                 r_.Fail(v, at,
                         "unknown proves nothing; name none, email, phone, document or business");
               }
             } else if (key == "listed") {
               d.lists = r_.Names(v, at);
               for (const std::string& l : d.lists) {
                 if (!l.empty()) wanted_lists_.push_back({l, at, v});
               }
             } else if (key == "unknown") {
               unknown = v;
               d.unknown = static_cast<Unknown>(r_.One(v, at, 3, NameOfUnknown));
             } else if (key == "action") {
               d.action = static_cast<Action>(r_.One(v, at, kActions, NameOfAction));
               if (d.action != Action::kDeny && d.action != Action::kVerify) {
                 r_.Fail(v, at, "a directive denies or verifies");
                 d.action = Action::kDeny;
               }
             } else if (key == "enforce") {
               d.enforce = r_.Bool(v, at);
             }
           });
    if (!node.IsMap()) return d;
    if (!node["id"].IsDefined())
      r_.Fail(node, where, "id is missing; decisions name the directive by it");
    if (!models) {
      r_.Fail(node, where, "models is missing; name them, or write models: \"*\" for every model");
    }
    if (d.models == std::vector<std::string>{"*"}) d.models.clear();
    if (!require && d.lists.empty()) {
      r_.Fail(node, where,
              "states nobody: give require (an attestation to hold) or listed (lists of kind "
              "entities)");
    }
    if (!unknown) {
      r_.Fail(node, where,
              "unknown is missing: allow, verify or deny whoever's attestation is not known");
    }
    if (proof && !require) {
      r_.Fail(*proof, where + ".proof",
              "proves an attestation, and none is required; remove it or add require");
    }
    if (d.from_ms >= d.until_ms) {
      r_.Fail(node["effective_until"], where + ".effective_until", "not after effective_from");
    }
    return d;
  }

  void Require(const YAML::Node& v, const std::string& at, Directive* d) {
    if (!v.IsMap() || v.size() == 0)
      return r_.Fail(v, at, "expected attestations with their values, such as citizenship: [US]");
    std::set<std::string> seen;
    for (const auto& kv : v) {
      Requirement q;
      q.key = Lower(r_.Id(kv.first, at));
      for (const std::string& value : r_.Names(kv.second, StrCat(at, ".", q.key))) {
        if (value.find(',') != std::string::npos)
          r_.Fail(kv.second, StrCat(at, ".", q.key), "a value holds no \",\"; write a list");
        q.values.push_back(Lower(value));
      }
      std::sort(q.values.begin(), q.values.end());
      q.values.erase(std::unique(q.values.begin(), q.values.end()), q.values.end());
      if (!seen.insert(q.key).second)
        r_.Fail(kv.first, StrCat(at, ".", q.key), "appears twice; keep one of them");
      else
        d->require.push_back(std::move(q));
    }
    std::sort(d->require.begin(), d->require.end(),
              [](const auto& a, const auto& b) { return a.key < b.key; });
  }

  List OneList(const YAML::Node& node, const std::string& where) {
    List l;
    l.line = node.Mark().line + 1;
    Acts acts;
    Maybe enforce;
    bool kind = false;
    r_.Map(node, where, "name kind action enforce rate burst per reduce_to entries",
           [&](const std::string& key, const YAML::Node& v) {
             const std::string at = where + "." + key;
             if (acts.Take(key, v)) return;
             if (key == "name")
               l.name = Unique(v, at);
             else if (key == "kind")
               kind = true, l.kind = static_cast<ListKind>(r_.One(v, at, 3, NameOfListKind));
             else if (key == "enforce")
               enforce = v, l.enforce = r_.Bool(v, at);
             else if (key == "entries")
               Entries(v, at, &l);
           });
    if (!node.IsMap()) return l;
    if (!node["name"].IsDefined()) r_.Fail(node, where, "name is missing");
    if (!kind) {
      r_.Fail(node, where, "kind is missing: allow, deny or entities");
      return l;
    }
    if (l.kind == ListKind::kDeny) {
      if (acts.action) {
        l.action =
            static_cast<Action>(r_.One(*acts.action, where + ".action", kActions, NameOfAction));
        if (l.action == Action::kAllow)
          r_.Fail(*acts.action, where + ".action", "allow contradicts kind: deny; use kind: allow");
      }
      Act(node, where, acts, l.action, &l.throttle, &l.reduce_to);
      if (l.throttle.per == Per::kCampaign)
        r_.Fail(*acts.per, where + ".per", "a list knows no campaign; remove it");
    } else {
      const char* kind_name = NameOfListKind(static_cast<int>(l.kind));
      using Named = std::pair<const char*, const Maybe*>;
      for (const auto& [name, v] : {Named("action", &acts.action), Named("enforce", &enforce),
                                    Named("rate", &acts.rate), Named("burst", &acts.burst),
                                    Named("per", &acts.per), Named("reduce_to", &acts.reduce_to)}) {
        if (*v) {
          r_.Fail(**v, StrCat(where, ".", name),
                  StrCat("contradicts kind: ", kind_name,
                         l.kind == ListKind::kAllow
                             ? ", which always holds; remove it"
                             : ", which acts through directives alone; remove it"));
        }
      }
      l.action = Action::kAllow;
    }
    return l;
  }

  void Entries(const YAML::Node& v, const std::string& where, List* l) {
    r_.List(v, where, kListEntriesMax, [&](const YAML::Node& item, const std::string& at) {
      ListEntry e;
      int kinds = 0;
      r_.Map(item, at, "account key org address until note",
             [&](const std::string& key, const YAML::Node& value) {
               const std::string here = at + "." + key;
               if (key == "until") {
                 e.until_ms = r_.Time(value, here);
               } else if (key == "note") {
                 e.note = r_.Text(value, here, 1024);
               } else {
                 ++kinds;
                 for (int k = 0; k < 4; ++k) {
                   if (key == kEntryKinds[k]) e.kind = static_cast<EntryKind>(k);
                 }
                 e.value = r_.Text(value, here, 512);
                 if (e.kind == EntryKind::kAddress && !e.value.empty())
                   Address(value, here, &e.value);
               }
             });
      if (item.IsMap() && kinds != 1) {
        r_.Fail(item, at, "an entry names one of account, key, org or address");
      }
      l->entries.push_back(std::move(e));
    });
    std::sort(l->entries.begin(), l->entries.end(), [](const ListEntry& a, const ListEntry& b) {
      return std::tie(a.kind, a.value, a.until_ms, a.note) <
             std::tie(b.kind, b.value, b.until_ms, b.note);
    });
    const auto twice = std::adjacent_find(l->entries.begin(), l->entries.end(),
                                          [](const ListEntry& a, const ListEntry& b) {
                                            return a.kind == b.kind && a.value == b.value;
                                          });
    if (twice != l->entries.end()) {
      r_.Fail(v, where,
              StrCat(kEntryKinds[static_cast<int>(twice->kind)], " ", Reader::Short(twice->value),
                     " appears twice; keep one"));
    }
    if ((entries_ += l->entries.size()) > kListEntriesMax) {
      r_.Fail(v, where, StrCat("more than ", kListEntriesMax, " entries in all lists"));
    }
  }

  void Address(const YAML::Node& v, const std::string& where, std::string* value) {
    const auto range = ParseAddressRange(*value);
    if (!range)
      return r_.Fail(v, where,
                     StrCat("\"", Reader::Short(*value),
                            "\": expected an address or a range as 198.51.100.0/24 or "
                            "2001:db8::/32, its host bits zero"));
    const bool v4 = value->find(':') == std::string::npos;
    char text[INET6_ADDRSTRLEN];
    inet_ntop(v4 ? AF_INET : AF_INET6, range->bytes + (v4 ? 12 : 0), text, sizeof text);
    *value = StrCat(std::string_view(text), "/", v4 ? range->length - 96 : range->length);
  }

  model::Permit OnePermit(const YAML::Node& node, const std::string& where) {
    model::Permit p;
    r_.Map(node, where, "id org_id account_ids models exchanges_max valid_from valid_until",
           [&](const std::string& key, const YAML::Node& v) {
             const std::string at = where + "." + key;
             if (key == "id")
               p.id = Unique(v, at);
             else if (key == "org_id")
               p.org_id = r_.Text(v, at, 512);
             else if (key == "account_ids")
               p.account_ids = r_.Names(v, at, true);
             else if (key == "models")
               p.models = LowerAll(r_.Names(v, at, true));
             else if (key == "exchanges_max")
               p.exchanges_max = r_.Whole(v, at, 0, uint64_t{1} << 53);
             else if (key == "valid_from")
               p.valid_from_ms = r_.Time(v, at);
             else if (key == "valid_until")
               p.valid_until_ms = r_.Time(v, at);
           });
    if (!node.IsMap()) return p;
    if (!node["id"].IsDefined())
      r_.Fail(node, where, "id is missing; its use is counted and reported by it");
    if (p.org_id.empty() == p.account_ids.empty()) {
      r_.Fail(node, where, "a permit needs either org_id or account_ids");
    }
    if (p.valid_from_ms >= p.valid_until_ms)
      r_.Fail(node, where, "valid_until is not after valid_from");
    return p;
  }

  Reader& r_;
  Policy& p_;
  std::unordered_set<std::string> ids_;
  struct Wanted {
    std::string list, at;
    YAML::Node node;
  };
  std::vector<Wanted> wanted_lists_;
  size_t entries_ = 0;
};

}  // namespace

std::optional<AddressRange> ParseAddressRange(std::string_view text) {
  AddressRange out;
  const size_t slash = text.find('/');
  char address[INET6_ADDRSTRLEN + 1];
  const std::string_view host = text.substr(0, slash);
  if (host.empty() || host.size() >= sizeof address) return std::nullopt;
  std::memcpy(address, host.data(), host.size());
  address[host.size()] = 0;
  int longest = 128;
  if (host.find(':') == std::string_view::npos) {
    longest = 32;
    out.bytes[10] = out.bytes[11] = 0xff;
    if (inet_pton(AF_INET, address, out.bytes + 12) != 1) return std::nullopt;
  } else if (inet_pton(AF_INET6, address, out.bytes) != 1) {
    return std::nullopt;
  }
  out.length = longest;
  if (slash != std::string_view::npos) {
    const std::string_view bits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), out.length);
    if (bits.empty() || bits[0] == '-' || error != std::errc() ||
        end != bits.data() + bits.size() || out.length > longest)
      return std::nullopt;
  }
  out.length += 128 - longest;
  for (int i = out.length; i < 128; ++i) {
    if (out.bytes[i / 8] & 0x80 >> i % 8) return std::nullopt;
  }
  return out;
}

std::optional<ListEntry> ParseListEntry(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) return std::nullopt;
  ListEntry e;
  e.value = text.substr(colon + 1);
  for (int k = 0; k < 4; ++k) {
    if (text.substr(0, colon) != kEntryKinds[k]) continue;
    e.kind = static_cast<EntryKind>(k);
    if (e.kind == EntryKind::kAddress && !ParseAddressRange(e.value)) return std::nullopt;
    return e;
  }
  return std::nullopt;
}

absl::StatusOr<Policy> ParsePolicy(std::string_view yaml, std::string_view name) {
  if (yaml.size() > kPolicyBytesMax) {
    return absl::InvalidArgumentError(
        StrCat(name, ": ", yaml.size(), " bytes; a policy has at most ", kPolicyBytesMax));
  }
  const auto marks = static_cast<size_t>(std::count_if(yaml.begin(), yaml.end(), [](char c) {
    return c == ',' || c == ':' || c == '[' || c == '{' || c == '\n';
  }));
  if (marks > kPolicyMarksMax) {
    return absl::InvalidArgumentError(
        StrCat(name, ": too many entries to be read as one file; keep long lists in the server"));
  }
  Policy policy;
  Reader reader(name);
  try {
    const YAML::Node root = YAML::Load(std::string(yaml));
    PolicyReader(&reader, &policy).Read(root);
  } catch (const TooManyErrors&) {
    return absl::InvalidArgumentError(
        StrCat(reader.errors(), "\n", name, ": more may be wrong; these come first"));
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(StrCat(reader.errors(), reader.errors().empty() ? "" : "\n",
                                             name, ":", e.mark.line + 1,
                                             ": not valid YAML: ", e.msg));
  }
  if (!reader.errors().empty()) return absl::InvalidArgumentError(reader.errors());
  return policy;
}

}  // namespace stillwatch::respond
