// A policy written one way: JSON, which is YAML.
#include <sodium.h>

#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "respond/policy.h"

namespace stillwatch::respond {
namespace {

using base::JsonWriter;
using base::StrCat;

void Names(JsonWriter& w, std::string_view key, const std::vector<std::string>& names) {
  if (names.empty()) return;
  w.Key(key);
  w.BeginArray();
  for (const std::string& n : names) w.String(n);
  w.EndArray();
}

template <typename Name>
void Mask(JsonWriter& w, std::string_view key, uint32_t mask, int values, Name name) {
  std::vector<std::string> names;
  for (int i = 0; i < values; ++i) {
    if (mask & 1u << i) names.emplace_back(name(i));
  }
  Names(w, key, names);
}

void Text(JsonWriter& w, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  w.Key(key);
  w.String(value);
}

void Time(JsonWriter& w, std::string_view key, int64_t ms) {
  if (ms == kNever || ms == INT64_MIN) return;
  Text(w, key, base::FormatRfc3339(ms));
}

void Act(JsonWriter& w, Action action, const Throttle& t, std::string_view reduce_to) {
  Text(w, "action", ActionName(action));
  if (action == Action::kThrottle) {
    const char* unit = t.period_ms == 1'000              ? "second"
                       : t.period_ms == 60'000           ? "minute"
                       : t.period_ms == base::kMsPerHour ? "hour"
                                                         : "day";
    Text(w, "rate", StrCat(t.count, "/", std::string_view(unit)));
    w.Key("burst");
    w.Uint(t.burst);
    Text(w, "per", t.per == Per::kAccount ? "account" : "campaign");
  }
  Text(w, "reduce_to", reduce_to);
}

void Bool(JsonWriter& w, std::string_view key, bool v) {
  w.Key(key);
  w.Bool(v);
}

void Rules(JsonWriter& w, std::string_view key, const std::vector<Rule>& rules, bool recognition) {
  w.Key(key);
  w.BeginArray();
  for (const Rule& r : rules) {
    const Match& m = r.match;
    w.BeginObject();
    Text(w, "id", r.id);
    w.Key("match");
    w.BeginObject();
    if (recognition) {
      Mask(w, "by", m.by, kBys, [](int i) { return ByName(static_cast<By>(i)); });
      if (m.by != 1u << static_cast<int>(By::kReplay)) {
        w.Key("containment_min");
        w.Double(m.containment_min);
      }
    }
    Mask(w, "verdict", m.verdicts, kOwns, [](int i) { return OwnName(static_cast<Own>(i)); });
    Mask(w, "tier", m.tiers, kTiers, [](int i) { return TierName(static_cast<Tier>(i)); });
    if (m.probability_min > 0) {
      w.Key("probability_min");
      w.Double(m.probability_min);
    }
    if (m.probability_max < 1) {
      w.Key("probability_max");
      w.Double(m.probability_max);
    }
    Mask(w, "capability", m.capabilities, model::kCapabilities,
         [](int i) { return model::CapabilityName(static_cast<model::Capability>(i)); });
    Names(w, "campaign", m.campaigns);
    Mask(w, "kyc", m.kycs, kKycs, [](int i) { return KycName(static_cast<Kyc>(i)); });
    if (m.org_verified) Bool(w, "org_verified", *m.org_verified);
    if (m.known) Bool(w, "known", *m.known);
    Names(w, "plan", m.plans);
    Names(w, "model", m.models);
    Names(w, "channel", m.channels);
    w.EndObject();
    Act(w, r.action, r.throttle, r.reduce_to);
    Bool(w, "enforce", r.enforce);
    if (r.beyond_verify) Bool(w, "beyond_verify", true);
    Time(w, "until", r.until_ms);
    if (r.expires_after_ms > 0) {
      Text(w, "expires_after", StrCat(r.expires_after_ms / 1'000, "s"));
    }
    w.EndObject();
  }
  w.EndArray();
}

}  // namespace

std::string Policy::Canonical() const {
  std::string out;
  JsonWriter w(&out, true);
  w.BeginObject();
  w.Key("version");
  w.Int(1);
  Text(w, "name", name);
  w.Key("approval_above");
  w.Uint(approval_above);
  w.Key("lockout_share_max");
  w.Double(lockout_share_max);
  w.Key("directives");
  w.BeginArray();
  for (const Directive& d : directives) {
    w.BeginObject();
    Text(w, "id", d.id);
    Text(w, "basis", d.basis);
    Names(w, "models", d.models.empty() ? std::vector<std::string>{"*"} : d.models);
    Time(w, "effective_from", d.from_ms);
    Time(w, "effective_until", d.until_ms);
    if (!d.require.empty()) {
      w.Key("require");
      w.BeginObject();
      for (const Requirement& q : d.require) Names(w, q.key, q.values);
      w.EndObject();
    }
    Mask(w, "proof", d.proof, kKycs, [](int i) { return KycName(static_cast<Kyc>(i)); });
    Names(w, "listed", d.lists);
    Text(w, "unknown",
         d.unknown == Unknown::kAllow    ? "allow"
         : d.unknown == Unknown::kVerify ? "verify"
                                         : "deny");
    Text(w, "action", ActionName(d.action));
    Bool(w, "enforce", d.enforce);
    w.EndObject();
  }
  w.EndArray();
  w.Key("permits");
  w.BeginArray();
  for (const model::Permit& p : permits) {
    w.BeginObject();
    Text(w, "id", p.id);
    Text(w, "org_id", p.org_id);
    Names(w, "account_ids", p.account_ids);
    Names(w, "models", p.models);
    w.Key("exchanges_max");
    w.Uint(p.exchanges_max);
    Time(w, "valid_from", p.valid_from_ms);
    Time(w, "valid_until", p.valid_until_ms);
    w.EndObject();
  }
  w.EndArray();
  w.Key("lists");
  w.BeginArray();
  for (const List& l : lists) {
    w.BeginObject();
    Text(w, "name", l.name);
    Text(w, "kind",
         l.kind == ListKind::kAllow  ? "allow"
         : l.kind == ListKind::kDeny ? "deny"
                                     : "entities");
    if (l.kind == ListKind::kDeny) {
      Act(w, l.action, l.throttle, l.reduce_to);
      Bool(w, "enforce", l.enforce);
    }
    w.Key("entries");
    w.BeginArray();
    for (const ListEntry& e : l.entries) {
      static constexpr const char* kKinds[] = {"account", "key", "org", "address"};
      w.BeginObject();
      Text(w, kKinds[static_cast<int>(e.kind)], e.value);
      Time(w, "until", e.until_ms);
      Text(w, "note", e.note);
      w.EndObject();
    }
    w.EndArray();
    w.EndObject();
  }
  w.EndArray();
  Rules(w, "rules", rules, false);
  Rules(w, "recognition", recognition, true);
  w.EndObject();
  out.push_back('\n');
  return out;
}

std::string Policy::Version() const {
  const std::string text = Canonical();
  unsigned char hash[16];
  char hex[2 * sizeof hash + 1];
  // Fails for impossible lengths alone; needs no sodium_init.
  crypto_generichash(hash, sizeof hash, reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), nullptr, 0);
  sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
  return hex;
}

}  // namespace stillwatch::respond
