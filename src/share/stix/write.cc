#include "share/stix/write.h"

#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/embedded_file.h"
#include "base/json.h"
#include "base/str.h"
#include "base/text.h"
#include "base/time.h"
#include "share/stix/check.h"
#include "share/stix/ids.h"
#include "share/stix/pattern.h"
#include "share/stix/read.h"

namespace stillwatch::share::stix {

extern const base::EmbeddedFile kExtensionSchema[];

namespace {

using base::JsonWriter;
using base::StrCat;

// When Stillwatch's own objects, the same in every bundle, were made.
constexpr std::string_view kOwnTime = "2026-11-21T00:00:00.000Z";
constexpr std::string_view kTlp2Extension =
    "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

struct Technique {
  const char *id, *name, *tactic, *family;  // family: only with this evidence; empty: always
};
// MITRE ATLAS.
constexpr Technique kTechniques[] = {
    {"AML.T0008.005", "AI Service Proxies", "resource-development", "network"},
    {"AML.T0024.002", "Extract AI Model", "exfiltration", ""},
    {"AML.T0040", "AI Model Inference API Access", "ai-model-access", ""},
    {"AML.T0048.004", "AI Intellectual Property Theft", "impact", ""},
};
constexpr const char* kCaseStudy = "AML.CS0056";

struct Words {
  const char *name, *description;
};
Words WordsOf(ItemType type) {
  switch (type) {
    case ItemType::kTemplateSketch:
      return {"Scaffold of prompts",
              "Shingle hashes of a scaffold that recurs around changing payloads. It recognises "
              "the scaffold in other traffic and holds no text; it can confirm a guess of it, so "
              "guard it like a pseudonym."};
    case ItemType::kSettings:
      return {"Decoding settings", "Settings of the requests. Others use them too."};
    case ItemType::kTlsFingerprint:
      return {"TLS client fingerprint (JA4)", "Software, not a person. Others use it too."};
    case ItemType::kClient:
      return {"Client software", "Software, not a person. Others use it too."};
    case ItemType::kRhythm:
      return {"Rhythm of the queue",
              "Half hours in which the campaign's accounts were busier or quieter together than "
              "their habits, in half standard deviations. No account's own activity."};
    case ItemType::kSignature:
      return {"Reasoning signature", "Hash of a reasoning signature that was presented."};
    case ItemType::kAccountId:
      return {"Account", "An account of the service, under the group's key."};
    default:
      return {"Trait under a key",
              "A value of the campaign's accounts under the group's key: who holds the key can "
              "tell whether it has the same value."};
  }
}

bool IsIndicator(ItemType type) {
  switch (type) {
    case ItemType::kNetwork:  // many innocents; stands in the infrastructure
    case ItemType::kAccount:  // says nothing elsewhere
    case ItemType::kCapability:
      return false;
    default:
      return true;
  }
}

// What others use too is weak by itself, whatever the campaign's probability.
int IndicatorConfidence(ItemType type, double probability) {
  const int all = ConfidenceBand(probability);
  return type == ItemType::kSettings || type == ItemType::kClient ? std::min(all, 15)
         : type == ItemType::kTlsFingerprint                      ? std::min(all, 30)
                                                                  : all;
}

class Writer {
 public:
  explicit Writer(const WriteOptions& o) : o_(o) {}

  absl::StatusOr<std::string> Run(const Release* release) {
    if (absl::Status s = Prepare(release); !s.ok()) return s;
    Frame();
    if (release) {
      for (const Release::Campaign& c : release->campaigns()) Campaign(c);
      for (const Sighting& s : release->sightings()) Seen(s);
    }
    RevokeGone();
    std::string names;
    for (const auto& [id, modified] : written_) base::StrAppend(&names, id, " ", modified, "\n");
    std::string out = StrCat("{\"type\":\"bundle\",\"id\":\"bundle--", Uuid5(kOwnNamespace, names),
                             "\",\"objects\":[\n");
    for (size_t i = 0; i < objects_.size(); ++i)
      base::StrAppend(&out, objects_[i], i + 1 < objects_.size() ? ",\n" : "\n");
    out += "]}\n";
    // Whatever leaves is valid; if it were not, that would be a fault of ours.
    if (const auto read = Read(out); !read.ok())
      return absl::InternalError(
          StrCat("stix: the bundle that was written is not valid: ",
                 std::string(read.status().message().data(), read.status().message().size())));
    return out;
  }

 private:
  absl::Status Prepare(const Release* release) {
    if (!Item::Parse(ItemType::kAttribution, o_.issuer))
      return absl::InvalidArgumentError("issuer: name who says so, in at most 128 bytes");
    tlp_ = o_.tlp;
    const bool open = release && release->audience() == Audience::kPublic;
    if (tlp_.empty()) tlp_ = open ? "clear" : "amber";
    if (TlpId(tlp_).empty())
      return absl::InvalidArgumentError(
          StrCat("tlp: clear, green, amber, amber+strict or red, not '", tlp_, "'"));
    static constexpr std::string_view kOpinions[] = {
        "", "strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"};
    if (std::find(std::begin(kOpinions), std::end(kOpinions), o_.opinion) == std::end(kOpinions))
      return absl::InvalidArgumentError(
          StrCat("opinion: strongly-disagree, disagree, neutral, agree or strongly-agree, not '",
                 o_.opinion, "'"));
    now_ = base::FormatRfc3339(o_.now_ms);
    own_ = OwnId("identity", {"Stillwatch"});
    issuer_ = OwnId("identity", {"issuer", o_.issuer});
    if (o_.previous.empty()) return absl::OkStatus();
    auto read = Read(o_.previous);
    if (!read.ok())
      return absl::InvalidArgumentError(
          StrCat("the earlier bundle: ",
                 std::string(read.status().message().data(), read.status().message().size())));
    previous_ = std::move(*read);
    simdjson::dom::parser parser;
    bool ours = false;
    for (const Object& object : previous_.objects) {
      simdjson::dom::element e;
      if (parser.parse(object.json).get(e)) continue;
      std::string_view by;
      if (e["created_by_ref"].get(by) || by != issuer_) continue;
      ours = true;
      if (object.id == issuer_) continue;
      const auto modified = base::ParseRfc3339(object.modified);
      if (modified && *modified >= o_.now_ms)
        return absl::InvalidArgumentError(StrCat("the earlier bundle: ", object.id, " is of ",
                                                 object.modified, ", which is not before ", now_));
      std::string_view created;
      bool revoked = false;
      if (e["created"].get(created)) continue;
      if (e["revoked"].get(revoked) == simdjson::SUCCESS && revoked) {
        revoked_[object.id] = &object;
        continue;
      }
      auto& earlier = earlier_[object.id];
      if (earlier.object && earlier.object->modified >= object.modified) continue;
      earlier = {&object, std::string(created)};
    }
    if (!ours)
      return absl::InvalidArgumentError(
          StrCat("the earlier bundle: nothing in it is of the issuer '", o_.issuer, "'"));
    return absl::OkStatus();
  }

  // As Read gives an object's bytes.
  static std::string Minified(const std::string& json) {
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    return parser.parse(json).get(e) ? json : std::string(simdjson::minify(e));
  }

  void Keep(const std::string& id, std::string_view modified, std::string json) {
    if (!ids_.insert(id).second) return;
    written_.emplace_back(id, modified);
    objects_.push_back(std::move(json));
  }

  // An object of the issuer's: `body` writes what is its own.
  std::string Put(std::string_view type, const std::vector<std::string_view>& parts,
                  std::string_view created, int confidence,
                  const std::function<void(JsonWriter&, std::string_view modified)>& body) {
    std::vector<std::string_view> all = {issuer_};
    all.insert(all.end(), parts.begin(), parts.end());
    std::string id = OwnId(type, all);
    for (int i = 2; revoked_.count(id); ++i) {  // a revoked id has no later version
      const std::string again = std::to_string(i);
      all.push_back(again);
      id = OwnId(type, all);
      all.pop_back();
    }
    if (ids_.count(id)) return id;
    const auto render = [&](std::string_view modified) {
      const auto earlier = earlier_.find(id);
      const std::string_view since =
          earlier == earlier_.end() ? created : std::string_view(earlier->second.created);
      std::string json;
      JsonWriter w(&json);
      w.BeginObject();
      Header(w, type, id, issuer_, since < modified ? since : modified, modified);
      if (confidence >= 0) {
        w.Key("confidence");
        w.Int(confidence);
      }
      List(w, "object_marking_refs", {TlpId(tlp_)});
      body(w, modified);
      w.EndObject();
      return json;
    };
    std::string modified = now_;
    std::string json = render(modified);
    if (const auto earlier = earlier_.find(id); earlier != earlier_.end()) {
      std::string same = render(earlier->second.object->modified);
      if (Minified(same) == earlier->second.object->json) {
        modified = earlier->second.object->modified;
        json = std::move(same);
      }
    }
    Keep(id, modified, std::move(json));
    return id;
  }

  static void Text(JsonWriter& w, std::string_view key, std::string_view value) {
    w.Key(key);
    w.String(value);
  }
  static void Header(JsonWriter& w, std::string_view type, std::string_view id, std::string_view by,
                     std::string_view created, std::string_view modified) {
    Text(w, "type", type);
    Text(w, "spec_version", "2.1");
    Text(w, "id", id);
    Text(w, "created_by_ref", by);
    Text(w, "created", created);
    Text(w, "modified", modified);
  }
  static void List(JsonWriter& w, std::string_view key, const std::vector<std::string_view>& list) {
    w.Key(key);
    w.BeginArray();
    for (const std::string_view v : list) w.String(v);
    w.EndArray();
  }
  static void Refs(JsonWriter& w, const std::vector<std::string>& list) {
    w.Key("object_refs");
    w.BeginArray();
    for (const std::string& v : list) w.String(v);
    w.EndArray();
  }

  // What is the same in every bundle of Stillwatch's, and who speaks under which marking.
  void Frame() {
    const auto fixed = [&](std::string_view type, const std::string& id,
                           const std::function<void(JsonWriter&)>& body, std::string_view by) {
      std::string json;
      JsonWriter w(&json);
      w.BeginObject();
      Header(w, type, id, by, kOwnTime, kOwnTime);
      body(w);
      w.EndObject();
      Keep(id, kOwnTime, std::move(json));
    };
    fixed(
        "identity", issuer_,
        [&](JsonWriter& w) {
          Text(w, "name", o_.issuer);
          Text(w, "identity_class", "organization");
        },
        issuer_);
    fixed(
        "identity", own_,
        [&](JsonWriter& w) {
          Text(w, "name", "Stillwatch");
          Text(w, "description", "The program that wrote the objects of this bundle.");
          Text(w, "identity_class", "system");
        },
        own_);
    fixed(
        "extension-definition", std::string(kExtension),
        [&](JsonWriter& w) {
          Text(w, "name", "Stillwatch");
          Text(w, "description", "Template sketches, decoding settings, figures of campaigns.");
          Text(w, "schema", kExtensionSchema[0].text);
          Text(w, "version", "1.0.0");
          List(w, "extension_types", {"property-extension"});
        },
        own_);
    const std::string marking(TlpId(tlp_));
    std::string shown = "TLP:";
    for (const char c : tlp_) shown.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    Keep(marking, "",
         StrCat("{\"type\":\"marking-definition\",\"spec_version\":\"2.1\",\"id\":\"", marking,
                "\",\"created\":\"2022-10-01T00:00:00.000Z\",\"name\":\"", shown,
                "\",\"extensions\":{\"", kTlp2Extension,
                "\":{\"extension_type\":\"property-extension\",\"tlp_2_0\":\"", tlp_, "\"}}}"));
    for (const Technique& t : kTechniques) {
      const std::string id = OwnId("attack-pattern", {"atlas", t.id});
      techniques_[t.id] = id;
      fixed(
          "attack-pattern", id,
          [&](JsonWriter& w) {
            Text(w, "name", t.name);
            w.Key("kill_chain_phases");
            w.BeginArray();
            w.BeginObject();
            Text(w, "kill_chain_name", "mitre-atlas");
            Text(w, "phase_name", t.tactic);
            w.EndObject();
            w.EndArray();
            Atlas(w, t.id);
          },
          own_);
    }
  }

  static void Atlas(JsonWriter& w, std::string_view id) {
    w.Key("external_references");
    w.BeginArray();
    w.BeginObject();
    Text(w, "source_name", "mitre-atlas");
    Text(w, "external_id", id);
    w.EndObject();
    w.EndArray();
  }

  void BeginExtension(JsonWriter& w, std::string_view property) {
    w.Key("extensions");
    w.BeginObject();
    w.Key(kExtension);
    w.BeginObject();
    Text(w, "extension_type", "property-extension");
    w.Key(property);
    w.BeginObject();
  }
  void EndExtension(JsonWriter& w) {
    w.EndObject();
    w.EndObject();
    w.EndObject();
  }

  void Campaign(const Release::Campaign& c) {
    const CampaignFacts& f = c.facts;
    const std::string first = base::FormatRfc3339(f.first_seen_ms);
    const std::string last = base::FormatRfc3339(f.last_seen_ms);
    const int confidence = ConfidenceBand(f.probability);
    std::vector<std::string> all;  // for the report
    const auto put = [&](std::string_view type, const std::vector<std::string_view>& parts,
                         int conf, const std::function<void(JsonWriter&, std::string_view)>& body) {
      std::vector<std::string_view> key = {f.key};
      key.insert(key.end(), parts.begin(), parts.end());
      all.push_back(Put(type, key, first, conf, body));
      return all.back();
    };
    const auto relate = [&](std::string_view kind, const std::string& from, const std::string& to,
                            int conf) {
      put("relationship", {kind, from, to}, conf, [&](JsonWriter& w, std::string_view) {
        Text(w, "relationship_type", kind);
        Text(w, "source_ref", from);
        Text(w, "target_ref", to);
      });
    };
    std::string aims;
    for (const auto& [label, share] : f.capabilities)
      if (share >= .1) base::StrAppend(&aims, aims.empty() ? "" : ", ", label);
    const std::string name =
        StrCat(f.suspected ? "Suspected distillation campaign " : "Distillation campaign ", f.key);
    const std::string campaign =
        put("campaign", {}, confidence, [&](JsonWriter& w, std::string_view) {
          Text(w, "name", name);
          Text(w, "first_seen", first);
          Text(w, "last_seen", last);
          if (!aims.empty())
            Text(w, "objective",
                 StrCat(f.suspected ? "If it is one, to" : "To", " distil a model: ", aims));
          Atlas(w, kCaseStudy);
          BeginExtension(w, "campaign_figures");
          w.Key("accounts");
          w.Uint(f.accounts);
          w.Key("exchanges");
          w.Uint(f.exchanges);
          w.Key("probability");
          w.Double(f.probability);
          w.Key("capabilities");
          w.BeginObject();
          for (const auto& [label, share] : f.capabilities) {
            w.Key(label);
            w.Double(share);
          }
          w.EndObject();
          if (!f.families.empty()) {
            w.Key("evidence");
            w.BeginArray();
            for (const std::string& family : f.families) w.String(family);
            w.EndArray();
          }
          EndExtension(w);
        });
    for (const Technique& t : kTechniques) {
      if (*t.family &&
          std::find(f.families.begin(), f.families.end(), t.family) == f.families.end())
        continue;
      all.push_back(techniques_[t.id]);
      relate("uses", campaign, techniques_[t.id], confidence);
    }
    std::vector<std::string> seen;  // observables
    for (const Item& item : c.items)
      if (const auto o = ObservableOf(item, f.key)) seen.push_back(Observe(*o));
    std::string observed;
    if (!seen.empty()) {
      std::sort(seen.begin(), seen.end());
      seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
      observed = put("observed-data", {}, confidence, [&](JsonWriter& w, std::string_view) {
        Text(w, "first_observed", first);
        Text(w, "last_observed", last);
        w.Key("number_observed");
        w.Uint(std::clamp<uint64_t>(f.exchanges, 1, 999'999'999));
        Refs(w, seen);
      });
      const std::string pool =
          put("infrastructure", {}, confidence, [&](JsonWriter& w, std::string_view) {
            Text(w, "name", StrCat("Accounts and networks of campaign ", f.key));
            List(w, "infrastructure_types", {"anonymization"});
            Text(w, "first_seen", first);
            Text(w, "last_seen", last);
          });
      relate("uses", campaign, pool, confidence);
      for (const std::string& o : seen) {
        all.push_back(o);
        relate("consists-of", pool, o, confidence);
      }
    }
    for (const Item& item : c.items) {
      if (!IsIndicator(item.type())) continue;
      const int conf = IndicatorConfidence(item.type(), f.probability);
      const Words words = WordsOf(item.blinded() ? ItemType::kAddress : item.type());
      const Written written = PatternOf(item, f.key);
      const int64_t days = item.type() == ItemType::kTemplateSketch ? kSketchDays : kTraitDays;
      const std::string id =
          put("indicator", {written.pattern}, conf, [&](JsonWriter& w, std::string_view) {
            Text(w, "name",
                 item.blinded() ? StrCat(words.name, ": ", ItemTypeName(item.type()))
                                : std::string(words.name));
            Text(w, "description", words.description);
            List(w, "indicator_types", {"malicious-activity"});
            Text(w, "pattern", written.pattern);
            Text(w, "pattern_type", written.pattern_type);
            if (written.pattern_type == "stix") Text(w, "pattern_version", "2.1");
            Text(w, "valid_from", first);
            Text(w, "valid_until", base::FormatRfc3339(f.last_seen_ms + days * base::kMsPerDay));
            if (!item.blinded()) Own(w, item);
          });
      relate("indicates", id, campaign, conf);
      if (!observed.empty() && written.pattern_type == "stix")
        relate("based-on", id, observed, conf);
    }
    put("sighting", {}, confidence, [&](JsonWriter& w, std::string_view) {
      Sight(w, campaign, f.exchanges, first, last);
      if (!observed.empty()) List(w, "observed_data_refs", {observed});
    });
    for (const auto& actor : c.attribution) {
      const int conf = ConfidenceBand(actor.probability);
      const std::string set =
          put("intrusion-set", {actor.name}, conf, [&](JsonWriter& w, std::string_view) {
            Text(w, "name", actor.name);
            Text(w, "description",
                 "Attribution is an allegation of the issuer's, graded and reversible.");
            Text(w, "first_seen", first);
            Text(w, "last_seen", last);
            Text(w, "resource_level", "organization");
            Text(w, "primary_motivation", "organizational-gain");
          });
      relate("attributed-to", campaign, set, conf);
    }
    put("note", {}, confidence, [&](JsonWriter& w, std::string_view) {
      std::string families;
      for (const std::string& n : f.families)
        base::StrAppend(&families, families.empty() ? "" : ", ", n);
      Text(w, "abstract", "How to use this");
      Text(w, "content",
           StrCat(
               f.suspected ? "A suspicion: the issuer's own evidence does not suffice to accuse "
                             "anybody. "
                           : "",
               "An indicator raises a suspicion and accuses nobody: an account that matches one "
               "may belong to a customer of a relay, to the owner of a stolen key or to a user of "
               "the same software. ",
               families.empty() ? "" : StrCat("Evidence here: ", families, ". "),
               "Figures are rounded to two digits and times to days."));
      Refs(w, {campaign});
    });
    if (!o_.opinion.empty()) {
      put("opinion", {}, -1, [&](JsonWriter& w, std::string_view) {
        Text(w, "explanation", "Of the person who reviewed the campaign at the issuer.");
        Text(w, "opinion", o_.opinion);
        Refs(w, {campaign});
      });
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    Put("report", {f.key}, first, confidence, [&](JsonWriter& w, std::string_view modified) {
      Text(w, "name", name);
      Text(w, "description",
           StrCat("About ", base::Grouped(f.accounts), " accounts and ", base::Grouped(f.exchanges),
                  " exchanges from ", first.substr(0, 10), " to ", last.substr(0, 10), "."));
      List(w, "report_types", {"campaign", "indicator"});
      Text(w, "published", modified);
      Refs(w, all);
    });
  }

  void Sight(JsonWriter& w, std::string_view of, uint64_t count, std::string_view first,
             std::string_view last) {
    Text(w, "first_seen", first);
    Text(w, "last_seen", last);
    w.Key("count");
    w.Uint(std::min<uint64_t>(count, 999'999'999));
    Text(w, "sighting_of_ref", of);
    List(w, "where_sighted_refs", {issuer_});
  }

  // What another indicated was seen here.
  void Seen(const Sighting& s) {
    const std::string first = base::FormatRfc3339(s.first_seen_ms);
    Put("sighting", {s.of}, first, -1, [&](JsonWriter& w, std::string_view) {
      Sight(w, s.of, s.exchanges, first, base::FormatRfc3339(s.last_seen_ms));
    });
  }

  // What of the item STIX has no property for.
  void Own(JsonWriter& w, const Item& item) {
    if (item.type() == ItemType::kTemplateSketch) {
      BeginExtension(w, "template_sketch");
      w.Key("version");
      w.Int(kSketchFormat);
      w.Key("hashes");
      w.BeginArray();
      for (size_t i = 2; i < item.value().size(); i += 8) w.String(item.value().substr(i, 8));
      w.EndArray();
      EndExtension(w);
    } else if (item.type() == ItemType::kSettings) {
      BeginExtension(w, "decoding_settings");
      const std::string_view v = item.value();
      for (size_t at = 0; at < v.size();) {
        const size_t end = std::min(v.find(';', at), v.size()), equals = v.find('=', at);
        const std::string_view key = v.substr(at, equals - at);
        const std::string value(v.substr(equals + 1, end - equals - 1));
        w.Key(key);
        if (key == "stream")
          w.Bool(value == "1");
        else if (key == "max_tokens")
          w.Uint(std::stoull(value));
        else
          w.Double(std::stod(value));
        at = end + 1;
      }
      EndExtension(w);
    }
  }

  // Observables belong to nobody; two campaigns may show the same one.
  std::string Observe(const Observable& o) {
    if (ids_.count(o.id)) return o.id;
    std::string json;
    JsonWriter w(&json);
    w.BeginObject();
    Text(w, "type", o.type);
    Text(w, "spec_version", "2.1");
    Text(w, "id", o.id);
    List(w, "object_marking_refs", {TlpId(tlp_)});
    for (const auto& p : o.properties) {
      w.Key(p.name);
      if (p.number)
        w.Uint(std::stoull(p.value));
      else
        w.String(p.value);
    }
    w.EndObject();
    Keep(o.id, "", std::move(json));
    return o.id;
  }

  // What was issued and is not any more: the same object, revoked.
  void RevokeGone() {
    simdjson::dom::parser parser;
    for (const Object& object : previous_.objects) {
      if (ids_.count(object.id)) continue;
      if (const auto revoked = revoked_.find(object.id); revoked != revoked_.end()) {
        // It stays revoked, as it was.
        if (revoked->second == &object) Keep(object.id, object.modified, object.json);
        continue;
      }
      const auto earlier = earlier_.find(object.id);
      if (earlier == earlier_.end() || earlier->second.object != &object) continue;
      simdjson::dom::element e;
      simdjson::dom::object o;
      if (parser.parse(object.json).get(e) || e.get(o)) continue;
      std::string json = "{";
      for (const auto field : o) {
        if (field.key == "revoked") continue;
        base::StrAppend(&json, json.size() > 1 ? "," : "", CanonicalString(field.key), ":");
        if (field.key == "modified")
          json += CanonicalString(now_);
        else
          json += simdjson::minify(field.value);
      }
      json += ",\"revoked\":true}";
      Keep(object.id, now_, std::move(json));
    }
    // Markings of theirs, if this bundle is marked in another way.
    for (const Object& object : previous_.objects)
      if (object.type == "marking-definition") Keep(object.id, "", object.json);
  }

  struct Earlier {
    const Object* object = nullptr;
    std::string created;
  };

  const WriteOptions& o_;
  std::string tlp_, now_, own_, issuer_;
  Bundle previous_;
  std::unordered_map<std::string, Earlier> earlier_;        // of this issuer, that still hold
  std::unordered_map<std::string, const Object*> revoked_;  // of this issuer, for good
  std::unordered_map<std::string, std::string> techniques_;
  std::unordered_set<std::string> ids_;
  std::vector<std::pair<std::string, std::string>> written_;
  std::vector<std::string> objects_;
};

}  // namespace

absl::StatusOr<std::string> Write(const Release& release, const WriteOptions& options) {
  return Writer(options).Run(&release);
}

absl::StatusOr<std::string> Revoke(const WriteOptions& options) {
  if (options.previous.empty())
    return absl::InvalidArgumentError("nothing to revoke: name the bundle that was issued");
  return Writer(options).Run(nullptr);
}

int ConfidenceBand(double p) {
  const int percent = static_cast<int>(std::clamp(p, 0.0, 1.0) * 100 + 1e-9);
  return percent < 10   ? 5
         : percent < 20 ? 15
         : percent < 40 ? 30
         : percent < 60 ? 50
         : percent < 80 ? 70
         : percent < 90 ? 85
                        : 95;
}

}  // namespace stillwatch::share::stix
