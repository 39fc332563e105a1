#include "share/misp/write.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "base/text.h"
#include "base/time.h"
#include "share/stix/check.h"
#include "share/stix/ids.h"
#include "share/stix/write.h"

namespace stillwatch::share::misp {
namespace {

using base::JsonWriter;
using base::StrCat;

// The templates of misp-objects that fit, by name.
struct Template {
  const char *name, *category, *uuid, *version;
};
constexpr Template kUserAccount = {"user-account", "misc", "49606b06-22f0-4ac8-8eee-2f12ad46f3d3",
                                   "6"};
constexpr Template kJa4 = {"ja4-plus", "network", "2c15c75e-e7db-4b62-8d17-633e7571818f", "2"};
constexpr Template kAsn = {"asn", "network", "4ec55cc6-9e49-4c64-b794-03c25c1a6587", "6"};
constexpr Template kPrompt = {"ai-chat-prompt", "misc", "a78f4156-0bb7-405c-aa25-ba16a73f68e4",
                              "2"};
constexpr Template kReport = {"report", "misc", "70a68471-df22-4e3f-aa1a-5a3be19f82df", "8"};

struct Attribute {
  std::string relation, type, category, value;
  bool to_ids = false;
};

std::string Md5(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_md5(), nullptr);
  return base::Hex(std::string_view(reinterpret_cast<const char*>(hash.data()), size));
}

class Writer {
 public:
  explicit Writer(const WriteOptions& o) : o_(o) {}

  absl::Status Prepare(const Release& release) {
    if (!Item::Parse(ItemType::kAttribution, o_.issuer))
      return absl::InvalidArgumentError("issuer: name who says so, in at most 128 bytes");
    tlp_ = !o_.tlp.empty() ? o_.tlp : release.audience() == Audience::kPublic ? "clear" : "amber";
    if (stix::TlpId(tlp_).empty())
      return absl::InvalidArgumentError(
          StrCat("tlp: clear, green, amber, amber+strict or red, not '", tlp_, "'"));
    return absl::OkStatus();
  }

  struct Event {
    std::string uuid, info, date, json;
    std::vector<std::string> values;
  };

  Event Write(const Release::Campaign& c) {
    key_ = c.facts.key;
    values_.clear();
    Event e;
    e.uuid = Uuid({"event"});
    e.info = StrCat("Distillation campaign ", key_);
    e.date = base::FormatRfc3339(c.facts.first_seen_ms).substr(0, 10);
    JsonWriter w(&e.json);
    w.BeginObject();
    w.Key("Event");
    w.BeginObject();
    Text(w, "uuid", e.uuid);
    Text(w, "info", e.info);
    Text(w, "date", e.date);
    Text(w, "timestamp", Seconds());
    Text(w, "publish_timestamp", Seconds());
    w.Key("published");
    w.Bool(true);
    Text(w, "threat_level_id", c.facts.probability >= .8 ? "1" : "2");
    Text(w, "analysis", "2");
    Text(w, "distribution", Distribution());
    Organisation(w);
    w.Key("Tag");
    w.BeginArray();
    const int confidence = stix::ConfidenceBand(c.facts.probability);
    for (const std::string& name :
         {StrCat("tlp:", tlp_),
          std::string(
              "misp-galaxy:mitre-atlas-attack-pattern=\"Extract AI Model - AML.T0024.002\""),
          StrCat("misp:confidence-level=\"",
                 confidence >= 90   ? "completely-confident"
                 : confidence >= 70 ? "usually-confident"
                 : confidence >= 50 ? "fairly-confident"
                                    : "rarely-confident",
                 "\"")}) {
      w.BeginObject();
      Text(w, "name", name);
      w.EndObject();
    }
    w.EndArray();
    Attributes(w, c);
    Objects(w, c);
    w.EndObject();
    w.EndObject();
    e.values = std::move(values_);
    return e;
  }

  std::string Manifest(const std::vector<Event>& events) const {
    std::string out;
    JsonWriter w(&out, true);
    w.BeginObject();
    for (const Event& e : events) {
      w.Key(e.uuid);
      w.BeginObject();
      Text(w, "info", e.info);
      Text(w, "date", e.date);
      Text(w, "timestamp", Seconds());
      Text(w, "analysis", "2");
      Text(w, "threat_level_id", "1");
      Organisation(w);
      w.Key("Tag");
      w.BeginArray();
      w.BeginObject();
      Text(w, "name", StrCat("tlp:", tlp_));
      w.EndObject();
      w.EndArray();
      w.EndObject();
    }
    w.EndObject();
    return out + "\n";
  }

 private:
  static void Text(JsonWriter& w, std::string_view key, std::string_view value) {
    w.Key(key);
    w.String(value);
  }
  std::string Seconds() const { return std::to_string(o_.now_ms / 1000); }
  // Whoever is outside the community sees what is clear or green, nobody else.
  std::string Distribution() const { return tlp_ == "clear" ? "3" : tlp_ == "green" ? "2" : "0"; }
  std::string Uuid(std::vector<std::string_view> parts) const {
    parts.insert(parts.begin(), {o_.issuer, key_});
    return stix::OwnId("misp", parts).substr(6);
  }

  void Organisation(JsonWriter& w) const {
    w.Key("Orgc");
    w.BeginObject();
    Text(w, "name", o_.issuer);
    Text(w, "uuid", stix::OwnId("org", {o_.issuer}).substr(5));
    w.EndObject();
  }

  void Write(JsonWriter& w, const Attribute& a, const std::string& uuid) {
    values_.push_back(a.value);
    w.BeginObject();
    Text(w, "uuid", uuid);
    if (!a.relation.empty()) Text(w, "object_relation", a.relation);
    Text(w, "type", a.type);
    Text(w, "category", a.category);
    Text(w, "value", a.value);
    w.Key("to_ids");
    w.Bool(a.to_ids);
    w.Key("disable_correlation");
    w.Bool(false);
    w.Key("deleted");
    w.Bool(false);
    Text(w, "timestamp", Seconds());
    Text(w, "distribution", "5");
    w.EndObject();
  }

  void Attributes(JsonWriter& w, const Release::Campaign& c) {
    w.Key("Attribute");
    w.BeginArray();
    for (const Item& item : c.items) {
      Attribute a;
      if (item.blinded() && item.type() != ItemType::kAccountId) {
        a = {"", "other", "Other", StrCat(ItemTypeName(item.type()), " blinded ", item.value()),
             false};
      } else if (item.type() == ItemType::kSettings || item.type() == ItemType::kSignature ||
                 item.type() == ItemType::kRhythm) {
        a = {"", "other", "Other", StrCat(ItemTypeName(item.type()), " = ", item.value()), false};
      } else if (item.type() == ItemType::kClient) {
        a = {"", "user-agent", "Network activity", item.value(), false};
      } else {
        continue;
      }
      Write(w, a, Uuid({"attribute", a.value}));
    }
    for (const auto& actor : c.attribution) {
      const Attribute a = {"", "threat-actor", "Attribution", actor.name, false};
      Write(w, a, Uuid({"actor", a.value}));
    }
    w.EndArray();
  }

  void Object(JsonWriter& w, const Template& t, const std::string& what, std::string_view comment,
              const std::vector<Attribute>& attributes) {
    w.BeginObject();
    const std::string uuid = Uuid({"object", t.name, what});
    Text(w, "uuid", uuid);
    Text(w, "name", t.name);
    Text(w, "meta-category", t.category);
    Text(w, "template_uuid", t.uuid);
    Text(w, "template_version", t.version);
    Text(w, "timestamp", Seconds());
    Text(w, "distribution", "5");
    w.Key("deleted");
    w.Bool(false);
    Text(w, "comment", comment);
    w.Key("Attribute");
    w.BeginArray();
    size_t n = 0;
    for (const Attribute& a : attributes)
      Write(w, a, Uuid({"object", t.name, what, a.relation, std::to_string(n++)}));
    w.EndArray();
    w.Key("ObjectReference");
    w.BeginArray();
    if (t.name != kReport.name) {
      const std::string report = Uuid({"object", kReport.name, ""});
      w.BeginObject();
      Text(w, "uuid", Uuid({"reference", uuid}));
      Text(w, "referenced_uuid", report);
      Text(w, "object_uuid", uuid);
      Text(w, "relationship_type", "related-to");
      Text(w, "timestamp", Seconds());
      w.Key("deleted");
      w.Bool(false);
      w.EndObject();
    }
    w.EndArray();
    w.EndObject();
  }

  void Objects(JsonWriter& w, const Release::Campaign& c) {
    const CampaignFacts& f = c.facts;
    w.Key("Object");
    w.BeginArray();
    std::string aims, families;
    for (const auto& [label, share] : f.capabilities)
      base::StrAppend(&aims, aims.empty() ? "" : ", ", label, " ", base::Percent(share));
    for (const std::string& n : f.families)
      base::StrAppend(&families, families.empty() ? "" : ", ", n);
    Object(
        w, kReport, "", "Figures are rounded to two digits and times to days.",
        {{"title", "text", "Other",
          StrCat(f.suspected ? "Suspected distillation campaign " : "Distillation campaign ", key_),
          false},
         {"summary", "text", "Other",
          StrCat("About ", base::Grouped(f.accounts), " accounts and ", base::Grouped(f.exchanges),
                 " exchanges from ", base::FormatRfc3339(f.first_seen_ms).substr(0, 10), " to ",
                 base::FormatRfc3339(f.last_seen_ms).substr(0, 10), ". Capabilities: ", aims,
                 ". Evidence: ", families, ". An indicator raises a suspicion and accuses nobody."),
          false}});
    for (const Item& item : c.items) {
      const std::string& v = item.value();
      if (item.type() == ItemType::kAccountId || item.type() == ItemType::kAccount) {
        const std::string id = item.type() == ItemType::kAccount ? StrCat(key_, "/", v) : v;
        Object(w, kUserAccount, id,
               item.blinded() ? "Under the group's key." : "A running number, no account's name.",
               {{"user-id", "text", "Other", id, false},
                {"account-type", "text", "Other", "llm-api", false}});
      } else if (item.blinded()) {
        continue;
      } else if (item.type() == ItemType::kTlsFingerprint) {
        Object(w, kJa4, v, "Software, not a person.",
               {{"ja4-fingerprint", "text", "Network activity", v, false},
                {"ja4-type", "text", "Network activity", "JA4", false}});
      } else if (item.type() == ItemType::kNetwork) {
        Object(w, kAsn, v, "Many of its users are innocent.",
               {{"asn", "AS", "Network activity", v, false}});
      } else if (item.type() == ItemType::kTemplateSketch) {
        // The template wants a prompt; there is none, and no place where one could be.
        Object(w, kPrompt, v,
               "No prompt: the shingle hashes of a scaffold. They can confirm a guess.",
               {{"prompt", "text", "Other", StrCat("template-sketch = ", v), false},
                {"comment", "text", "Other", "Hashes of a scaffold in place of its text", false},
                {"role", "text", "Other", "user", false}});
      }
    }
    w.EndArray();
  }

  const WriteOptions& o_;
  std::string tlp_, key_;
  std::vector<std::string> values_;
};

}  // namespace

absl::StatusOr<std::string> WriteEvent(const Release& release, const WriteOptions& options) {
  Writer writer(options);
  if (absl::Status s = writer.Prepare(release); !s.ok()) return s;
  const auto& campaigns = release.campaigns();
  if (campaigns.size() == 1) return writer.Write(campaigns[0]).json + "\n";
  std::string out = "[\n";
  for (size_t i = 0; i < campaigns.size(); ++i)
    base::StrAppend(&out, writer.Write(campaigns[i]).json, i + 1 < campaigns.size() ? ",\n" : "\n");
  return out + "]\n";
}

absl::StatusOr<std::vector<File>> WriteFeed(const Release& release, const WriteOptions& options) {
  Writer writer(options);
  if (absl::Status s = writer.Prepare(release); !s.ok()) return s;
  std::vector<Writer::Event> events;
  for (const auto& c : release.campaigns()) events.push_back(writer.Write(c));
  std::vector<File> files = {{"manifest.json", writer.Manifest(events)}};
  std::vector<std::string> lines;
  for (const Writer::Event& e : events) {
    files.push_back({e.uuid + ".json", e.json + "\n"});
    // By MD5, which is what receivers of a feed look its values up by.
    for (const std::string& v : e.values) lines.push_back(StrCat(Md5(v), ",", e.uuid, "\n"));
  }
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  std::string hashes;
  for (const std::string& l : lines) hashes += l;
  files.push_back({"hashes.csv", hashes});
  return files;
}

}  // namespace stillwatch::share::misp
