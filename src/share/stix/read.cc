#include "share/stix/read.h"

#include <simdjson.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/str.h"
#include "base/time.h"
#include "share/stix/check.h"
#include "share/stix/ids.h"
#include "share/stix/json_fault.h"
#include "share/stix/pattern.h"

namespace stillwatch::share::stix {
namespace {

using base::StrCat;
using simdjson::dom::element;
using simdjson::dom::object;

absl::Status Invalid(std::string_view where, std::string_view what) {
  return absl::InvalidArgumentError(StrCat(where, ": ", what));
}

std::string_view Text(const object& o, std::string_view name) {
  std::string_view v;
  return o[name].get(v) == simdjson::SUCCESS ? v : std::string_view();
}

struct Seen {
  Checked checked;
  object content;
};

class Reader {
 public:
  Reader(const ReadLimits& limits, bool bundle) : limits_(limits), bundle_(bundle) {}

  absl::StatusOr<Bundle> Run(std::string_view json) {
    if (json.size() > limits_.bytes)
      return Invalid("",
                     StrCat("is ", json.size(), " bytes; at most ", limits_.bytes, " are read"));
    simdjson::dom::parser parser;
    // simdjson counts the open brackets, the outermost too.
    if (parser.allocate(std::max<size_t>(json.size() + 64, 256), limits_.depth))
      return absl::ResourceExhaustedError("stix: out of memory");
    element root;
    const auto error = parser.parse(json.data(), json.size(), true).get(root);
    if (error) {
      std::string fault = JsonFault(json, limits_.depth - 1);
      if (fault.empty()) fault = StrCat(": ", simdjson::error_message(error));
      return absl::InvalidArgumentError(fault);
    }
    object top;
    if (root.get(top)) return Invalid("", "is no JSON object");
    if (absl::Status s = bundle_ ? Objects(top) : One(top, ""); !s.ok()) return s;
    if (absl::Status s = Twice(); !s.ok()) return s;
    if (bundle_ && limits_.whole)
      if (absl::Status s = Whole(); !s.ok()) return s;
    if (absl::Status s = Cycles(); !s.ok()) return s;
    Indicators();
    return std::move(out_);
  }

 private:
  std::string Place(size_t i) const { return bundle_ ? StrCat("/objects/", i) : std::string(); }

  absl::Status Objects(const object& top) {
    const std::string_view type = Text(top, "type");
    if (type != "bundle") return Invalid("/type", "is not bundle");
    for (const auto field : top) {
      const bool custom = field.key.starts_with("x_");
      if (field.key == "spec_version")
        return Invalid("/spec_version", "a bundle of STIX 2.1 has none; only 2.1 is read");
      if (field.key != "type" && field.key != "id" && field.key != "objects" && !custom)
        return Invalid(StrCat("/", field.key.substr(0, 128)), "is no property of a bundle");
    }
    for (const std::string_view name : {"type", "id", "objects"}) {
      size_t named = 0;
      for (const auto field : top) named += field.key == name;
      if (named > 1) return Invalid(StrCat("/", name), "is there twice");
    }
    const std::string_view id = Text(top, "id");
    if (!id.starts_with("bundle--") || !IsUuid(id.substr(8)))
      return Invalid("/id", "is not bundle--UUID");
    out_.id = id;
    element list;
    if (top["objects"].get(list)) return Invalid("/objects", "is missing");
    simdjson::dom::array objects;
    if (list.get(objects)) return Invalid("/objects", "is no list");
    size_t i = 0;
    for (const element e : objects) {
      const std::string where = StrCat("/objects/", i++);
      if (i > limits_.objects)
        return Invalid(where, StrCat("more than ", limits_.objects, " objects are not read"));
      object o;
      if (e.get(o)) return Invalid(where, "is no object");
      if (absl::Status s = One(o, where); !s.ok()) return s;
    }
    if (i == 0) return Invalid("/objects", "is an empty list; leave it out");
    return absl::OkStatus();
  }

  absl::Status One(const object& o, const std::string& where) {
    Seen seen{{}, o};
    std::string fault;
    if (!Check(o, &seen.checked, &fault)) return absl::InvalidArgumentError(where + fault);
    Object object{std::string(seen.checked.id), std::string(seen.checked.type),
                  std::string(Text(o, "modified")), simdjson::minify(o)};
    if (object.json.size() > limits_.object_bytes)
      return Invalid(where, StrCat("is ", object.json.size(), " bytes; at most ",
                                   limits_.object_bytes, " of an object are read"));
    out_.objects.push_back(std::move(object));
    seen_.push_back(std::move(seen));
    return absl::OkStatus();
  }

  // One version of an object is there once.
  absl::Status Twice() {
    std::unordered_map<std::string, size_t> versions;
    for (size_t i = 0; i < out_.objects.size(); ++i) {
      const Object& o = out_.objects[i];
      const auto [first, fresh] = versions.try_emplace(StrCat(o.id, " ", o.modified), i);
      if (!fresh)
        return Invalid(Place(i) + "/id",
                       StrCat("is the same version of the same object as ", Place(first->second)));
      places_.try_emplace(seen_[i].checked.id, i);
    }
    // Versions of one object have one type by its id; one creator and one time of creation too.
    for (size_t i = 0; i < seen_.size(); ++i) {
      const size_t first = places_.at(seen_[i].checked.id);
      if (first == i) continue;
      for (const std::string_view name : {"created", "created_by_ref"})
        if (Text(seen_[i].content, name) != Text(seen_[first].content, name))
          return Invalid(StrCat(Place(i), "/", name),
                         StrCat("differs from another version's at ", Place(first)));
    }
    return absl::OkStatus();
  }

  absl::Status Whole() {
    for (size_t i = 0; i < seen_.size(); ++i) {
      const Checked& c = seen_[i].checked;
      bool made = c.object_class == Class::kSco || c.type == "marking-definition";
      for (const Reference& r : c.references) {
        if (r.from == "created_by_ref") made = true;
        if (r.from == "created_by_ref" && !places_.count(r.to))
          return Invalid(Place(i) + r.pointer, "is made by an identity that is not in the bundle");
        if ((r.from == "object_marking_refs" || r.from == "marking_ref") && TlpOf(r.to).empty() &&
            !places_.count(r.to))
          return Invalid(Place(i) + r.pointer,
                         "is marked by what is not in the bundle: it cannot be obeyed");
      }
      if (!made)
        return Invalid(Place(i) + "/created_by_ref", "is missing: nobody answers for this object");
    }
    return absl::OkStatus();
  }

  // What holds or marks other objects must not in the end hold itself. References across, such as
  // relationships' and makers', may close circles.
  absl::Status Cycles() {
    std::vector<uint8_t> state(seen_.size(), 0);  // 1: on the way down, 2: done
    struct Step {
      size_t object, next;
    };
    std::vector<Step> way;
    for (size_t start = 0; start < seen_.size(); ++start) {
      if (state[start]) continue;
      way.push_back({start, 0});
      state[start] = 1;
      while (!way.empty()) {
        Step& step = way.back();
        const Checked& c = seen_[step.object].checked;
        if (step.next == c.references.size()) {
          state[step.object] = 2;
          way.pop_back();
          continue;
        }
        const Reference& r = c.references[step.next++];
        if (r.from == "created_by_ref" || c.object_class == Class::kSro) continue;
        // Both ends of these name each other by design.
        if (r.from == "encapsulated_by_ref" || r.from == "parent_ref" ||
            r.from == "parent_directory_ref")
          continue;
        const auto to = places_.find(r.to);
        if (to == places_.end()) continue;
        if (state[to->second] == 1)
          return Invalid(Place(step.object) + r.pointer, "closes a circle of references");
        if (state[to->second] == 0) {
          state[to->second] = 1;
          way.push_back({to->second, 0});
        }
      }
    }
    return absl::OkStatus();
  }

  void Indicators() {
    std::unordered_map<std::string_view, std::string_view> campaigns, names;
    for (const Seen& s : seen_) {
      if (s.checked.type == "identity") names.emplace(s.checked.id, Text(s.content, "name"));
      if (s.checked.type == "relationship" && Text(s.content, "relationship_type") == "indicates" &&
          Text(s.content, "target_ref").starts_with("campaign--"))
        campaigns.emplace(Text(s.content, "source_ref"), Text(s.content, "target_ref"));
    }
    for (const Seen& s : seen_) {
      if (s.checked.type != "indicator") continue;
      const object& o = s.content;
      const std::string_view kind = Text(o, "pattern_type"), text = Text(o, "pattern");
      std::optional<Item> item;
      if (kind == kPatternType) {
        item = ParseOwnPattern(text);
      } else if (kind == "stix") {
        if (const auto pattern = ParsePattern(text); pattern.ok()) item = ItemOf(*pattern);
      }
      if (!item) {
        ++out_.indicators_other;
        continue;
      }
      const auto time = [&](std::string_view name, int64_t none) {
        return base::ParseRfc3339(Text(o, name)).value_or(none);
      };
      Indicator i{*item};
      i.id = s.checked.id;
      if (const auto c = campaigns.find(s.checked.id); c != campaigns.end()) i.campaign = c->second;
      i.created_by = Text(o, "created_by_ref");
      if (const auto n = names.find(i.created_by); n != names.end()) i.origin = n->second;
      for (const Reference& r : s.checked.references)
        if (r.from == "object_marking_refs" && !TlpOf(r.to).empty()) i.tlp = TlpOf(r.to);
      int64_t n = 0;
      if (o["confidence"].get(n) == simdjson::SUCCESS) i.confidence = static_cast<int>(n);
      i.created_ms = time("created", 0);
      i.modified_ms = time("modified", 0);
      i.valid_from_ms = time("valid_from", 0);
      i.valid_until_ms = time("valid_until", INT64_MAX);
      bool revoked = false;
      i.revoked = o["revoked"].get(revoked) == simdjson::SUCCESS && revoked;
      out_.indicators.push_back(std::move(i));
    }
    for (const Seen& s : seen_) {
      if (s.checked.type != "sighting") continue;
      const object& o = s.content;
      const auto time = [&](std::string_view name) {
        return base::ParseRfc3339(Text(o, name)).value_or(0);
      };
      Sighting seen;
      seen.id = s.checked.id;
      seen.of = Text(o, "sighting_of_ref");
      seen.created_by = Text(o, "created_by_ref");
      if (const auto n = names.find(seen.created_by); n != names.end()) seen.origin = n->second;
      int64_t n = 0;
      if (o["count"].get(n) == simdjson::SUCCESS) seen.exchanges = static_cast<uint64_t>(n);
      seen.first_seen_ms = time("first_seen"), seen.last_seen_ms = time("last_seen");
      seen.modified_ms = time("modified");
      bool revoked = false;
      seen.revoked = o["revoked"].get(revoked) == simdjson::SUCCESS && revoked;
      out_.sightings.push_back(std::move(seen));
    }
  }

  ReadLimits limits_;
  bool bundle_;
  Bundle out_;
  std::vector<Seen> seen_;
  std::unordered_map<std::string_view, size_t> places_;  // of an id's first version
};

}  // namespace

absl::StatusOr<Bundle> Read(std::string_view json, const ReadLimits& limits) {
  return Reader(limits, true).Run(json);
}

absl::StatusOr<Bundle> ReadObject(std::string_view json, const ReadLimits& limits) {
  return Reader(limits, false).Run(json);
}

}  // namespace stillwatch::share::stix
