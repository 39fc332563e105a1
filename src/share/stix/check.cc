#include "share/stix/check.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/str.h"
#include "base/time.h"
#include "share/indicator.h"
#include "share/stix/ids.h"
#include "share/stix/pattern.h"

namespace stillwatch::share::stix {
namespace {

using base::StrCat;
using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

// Sections 4 to 7 of the specification. "name!:kind": required. Kinds: s text, t time, m time to
// the millisecond, i integer, n from 0, o from 1 to 999,999,999, c 0 to 100, p a port, b truth
// value, f number, r(types) reference, e(values) one of them, h hashes, x hexadecimal, q base64, d
// dictionary, k kill chain phase, y external reference, g granular marking, z extensions, a
// anything, l language, w word of a relationship; [k] a list of k that is not empty.
struct Row {
  std::string_view type;
  Class object_class;
  std::string_view properties;
};

constexpr std::string_view kCommon =
    "type!:s spec_version!:s id!:s created_by_ref:r(identity) created!:m modified!:m revoked:b "
    "labels:[s] confidence:c lang:l external_references:[y] "
    "object_marking_refs:[r(marking-definition)] granular_markings:[g] extensions:z";
constexpr std::string_view kCommonObservable =
    "type!:s spec_version:s id!:s object_marking_refs:[r(marking-definition)] "
    "granular_markings:[g] defanged:b extensions:z";
constexpr std::string_view kCommonMarking =
    "type!:s spec_version!:s id!:s created_by_ref:r(identity) created!:m external_references:[y] "
    "object_marking_refs:[r(marking-definition)] granular_markings:[g] extensions:z";

constexpr Row kTypes[] = {
    {"attack-pattern", Class::kSdo, "name!:s description:s aliases:[s] kill_chain_phases:[k]"},
    {"campaign", Class::kSdo,
     "name!:s description:s aliases:[s] first_seen:t last_seen:t objective:s"},
    {"course-of-action", Class::kSdo, "name!:s description:s"},
    {"grouping", Class::kSdo, "name:s description:s context!:s object_refs!:[r]"},
    {"identity", Class::kSdo,
     "name!:s description:s roles:[s] identity_class:s sectors:[s] contact_information:s"},
    {"incident", Class::kSdo, "name!:s description:s"},
    {"indicator", Class::kSdo,
     "name:s description:s indicator_types:[s] pattern!:s pattern_type!:s pattern_version:s "
     "valid_from!:t valid_until:t kill_chain_phases:[k]"},
    {"infrastructure", Class::kSdo,
     "name!:s description:s infrastructure_types:[s] aliases:[s] kill_chain_phases:[k] "
     "first_seen:t last_seen:t"},
    {"intrusion-set", Class::kSdo,
     "name!:s description:s aliases:[s] first_seen:t last_seen:t goals:[s] resource_level:s "
     "primary_motivation:s secondary_motivations:[s]"},
    {"location", Class::kSdo,
     "name:s description:s latitude:f longitude:f precision:f region:s country:s "
     "administrative_area:s city:s street_address:s postal_code:s"},
    {"malware", Class::kSdo,
     "name:s description:s malware_types:[s] is_family!:b aliases:[s] kill_chain_phases:[k] "
     "first_seen:t last_seen:t operating_system_refs:[r(software)] architecture_execution_envs:[s] "
     "implementation_languages:[s] capabilities:[s] sample_refs:[r(artifact,file)]"},
    {"malware-analysis", Class::kSdo,
     "product!:s version:s host_vm_ref:r(software) operating_system_ref:r(software) "
     "installed_software_refs:[r(software)] configuration_version:s modules:[s] "
     "analysis_engine_version:s analysis_definition_version:s submitted:t analysis_started:t "
     "analysis_ended:t result_name:s result:s analysis_sco_refs:[r] sample_ref:r"},
    {"note", Class::kSdo, "abstract:s content!:s authors:[s] object_refs!:[r]"},
    {"observed-data", Class::kSdo,
     "first_observed!:t last_observed!:t number_observed!:o objects:a object_refs:[r]"},
    {"opinion", Class::kSdo,
     "explanation:s authors:[s] "
     "opinion!:e(strongly-disagree,disagree,neutral,agree,strongly-agree) object_refs!:[r]"},
    {"report", Class::kSdo, "name!:s description:s report_types:[s] published!:t object_refs!:[r]"},
    {"threat-actor", Class::kSdo,
     "name!:s description:s threat_actor_types:[s] aliases:[s] first_seen:t last_seen:t roles:[s] "
     "goals:[s] sophistication:s resource_level:s primary_motivation:s secondary_motivations:[s] "
     "personal_motivations:[s]"},
    {"tool", Class::kSdo,
     "name!:s description:s tool_types:[s] aliases:[s] kill_chain_phases:[k] tool_version:s"},
    {"vulnerability", Class::kSdo, "name!:s description:s"},
    {"relationship", Class::kSro,
     "relationship_type!:w description:s source_ref!:r target_ref!:r start_time:t stop_time:t"},
    {"sighting", Class::kSro,
     "description:s first_seen:t last_seen:t count:n sighting_of_ref!:r "
     "observed_data_refs:[r(observed-data)] where_sighted_refs:[r(identity,location)] summary:b"},
    {"extension-definition", Class::kMeta,
     "name!:s description:s schema!:s version!:s "
     "extension_types!:[e(new-sdo,new-sco,new-sro,property-extension,toplevel-property-extension)] "
     "extension_properties:[s]"},
    {"language-content", Class::kMeta, "object_ref!:r object_modified:t contents!:d"},
    {"marking-definition", Class::kMeta, "name:s definition_type:s definition:a"},
    {"artifact", Class::kSco,
     "mime_type:s payload_bin:q url:s hashes:h encryption_algorithm:e(AES-256-GCM,ChaCha20-"
     "Poly1305,mime-type-indicated) decryption_key:s"},
    {"autonomous-system", Class::kSco, "number!:n name:s rir:s"},
    {"directory", Class::kSco,
     "path!:s path_enc:s ctime:t mtime:t atime:t contains_refs:[r(directory,file)]"},
    {"domain-name", Class::kSco, "value!:s resolves_to_refs:[r(ipv4-addr,ipv6-addr,domain-name)]"},
    {"email-addr", Class::kSco, "value!:s display_name:s belongs_to_ref:r(user-account)"},
    {"email-message", Class::kSco,
     "is_multipart!:b date:t content_type:s from_ref:r(email-addr) sender_ref:r(email-addr) "
     "to_refs:[r(email-addr)] cc_refs:[r(email-addr)] bcc_refs:[r(email-addr)] message_id:s "
     "subject:s received_lines:[s] additional_header_fields:d body:s body_multipart:a "
     "raw_email_ref:r(artifact)"},
    {"file", Class::kSco,
     "hashes:h size:n name:s name_enc:s magic_number_hex:x mime_type:s ctime:t mtime:t atime:t "
     "parent_directory_ref:r(directory) contains_refs:[r] content_ref:r(artifact)"},
    {"ipv4-addr", Class::kSco,
     "value!:s resolves_to_refs:[r(mac-addr)] belongs_to_refs:[r(autonomous-system)]"},
    {"ipv6-addr", Class::kSco,
     "value!:s resolves_to_refs:[r(mac-addr)] belongs_to_refs:[r(autonomous-system)]"},
    {"mac-addr", Class::kSco, "value!:s"},
    {"mutex", Class::kSco, "name!:s"},
    {"network-traffic", Class::kSco,
     "start:t end:t is_active:b src_ref:r(ipv4-addr,ipv6-addr,mac-addr,domain-name) "
     "dst_ref:r(ipv4-addr,ipv6-addr,mac-addr,domain-name) src_port:p dst_port:p protocols!:[s] "
     "src_byte_count:n dst_byte_count:n src_packets:n dst_packets:n ipfix:a "
     "src_payload_ref:r(artifact) dst_payload_ref:r(artifact) "
     "encapsulates_refs:[r(network-traffic)] encapsulated_by_ref:r(network-traffic)"},
    {"process", Class::kSco,
     "is_hidden:b pid:i created_time:t cwd:s command_line:s environment_variables:d "
     "opened_connection_refs:[r(network-traffic)] creator_user_ref:r(user-account) "
     "image_ref:r(file) parent_ref:r(process) child_refs:[r(process)]"},
    {"software", Class::kSco, "name!:s cpe:s swid:s languages:[s] vendor:s version:s"},
    {"url", Class::kSco, "value!:s"},
    {"user-account", Class::kSco,
     "user_id:s credential:s account_login:s account_type:s display_name:s is_service_account:b "
     "is_privileged:b can_escalate_privs:b is_disabled:b account_created:t account_expires:t "
     "credential_last_changed:t account_first_login:t account_last_login:t"},
    {"windows-registry-key", Class::kSco,
     "key:s values:a modified_time:t creator_user_ref:r(user-account) number_of_subkeys:n"},
    {"x509-certificate", Class::kSco,
     "is_self_signed:b hashes:h version:s serial_number:s signature_algorithm:s issuer:s "
     "validity_not_before:t validity_not_after:t subject:s subject_public_key_algorithm:s "
     "subject_public_key_modulus:s subject_public_key_exponent:i x509_v3_extensions:a"},
};

struct Property {
  std::string_view name, kind, among;  // "r" and "identity,location"
  bool required = false, list = false;
};
struct Type {
  Class object_class = Class::kSdo;
  std::vector<Property> properties;
};

void ParseProperties(std::string_view text, std::vector<Property>* out) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t colon = word.find(':');
    Property p;
    p.name = word.substr(0, colon);
    p.kind = word.substr(colon + 1);
    if (p.name.ends_with("!")) p.required = true, p.name.remove_suffix(1);
    if (p.kind.starts_with("[")) p.list = true, p.kind = p.kind.substr(1, p.kind.size() - 2);
    if (const size_t paren = p.kind.find('('); paren != p.kind.npos) {
      p.among = p.kind.substr(paren + 1, p.kind.size() - paren - 2);
      p.kind = p.kind.substr(0, paren);
    }
    out->push_back(p);
  }
}

const std::map<std::string_view, Type>& Types() {
  static const auto* const types = [] {
    auto* map = new std::map<std::string_view, Type>;
    for (const Row& row : kTypes) {
      Type& t = (*map)[row.type];
      t.object_class = row.object_class;
      ParseProperties(row.object_class == Class::kSco    ? kCommonObservable
                      : row.type == "marking-definition" ? kCommonMarking
                                                         : kCommon,
                      &t.properties);
      ParseProperties(row.properties, &t.properties);
    }
    return map;
  }();
  return *types;
}

bool Among(std::string_view list, std::string_view word) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    if (list.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool IsTypeName(std::string_view v) {
  return v.size() >= 3 && v.size() <= 250 && IsLower(v[0]) && v.find("--") == v.npos &&
         v.back() != '-' && std::all_of(v.begin(), v.end(), [](char c) {
           return IsLower(c) || IsDigit(c) || c == '-';
         });
}

// The type before the "--" of an identifier; empty when it is none.
std::string_view TypeOfId(std::string_view id) {
  const size_t dashes = id.find("--");
  if (dashes == id.npos || !IsUuid(id.substr(dashes + 2)) || !IsTypeName(id.substr(0, dashes)))
    return {};
  return id.substr(0, dashes);
}

std::optional<int64_t> Time(std::string_view v) {
  if (v.size() < 20 || v[10] != 'T' || v.back() != 'Z') return std::nullopt;
  return base::ParseRfc3339(v);
}

std::string Token(std::string_view name) {  // of a JSON pointer, RFC 6901
  std::string out;
  for (const char c : name.substr(0, 128)) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out.push_back(c);
  }
  return out;
}

struct Markings {
  std::string_view level, id, color, version1;  // of TLP 2; colour and id of TLP 1
};
constexpr Markings kTlp[] = {
    {"clear", "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487", "white",
     "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"},
    {"green", "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "green",
     "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"},
    {"amber", "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421", "amber",
     "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"},
    {"amber+strict", "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", "", ""},
    {"red", "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", "red",
     "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"},
};
constexpr std::string_view kTlp2Extension =
    "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

class Checker {
 public:
  Checker(Checked* out, std::string* fault) : out_(out), fault_(fault) {}

  bool Run(const object& o) {
    if (!Keys(o, "")) return false;
    std::string_view type;
    if (o["type"].get(type)) return Fault("/type", "is missing, or no text");
    if (!IsTypeName(type)) return Fault("/type", "is no name of a type");
    out_->type = type;
    std::string_view id;
    if (o["id"].get(id)) return Fault("/id", "is missing, or no text");
    if (TypeOfId(id) != type) return Fault("/id", StrCat("is not ", type, "--UUID"));
    out_->id = id;
    if (type == "bundle") return Fault("/type", "a bundle holds no bundle");
    const auto found = Types().find(type);
    if (found == Types().end()) {
      if (!Custom(o, type)) return false;
    } else {
      out_->object_class = found->second.object_class;
      if (!Known(o, found->second)) return false;
    }
    return Version(o) && Deeper(o, type);
  }

 private:
  bool Fault(std::string_view where, std::string_view what) {
    *fault_ = StrCat(where, ": ", what);
    return false;
  }

  // No name twice, anywhere: which of the two would hold is nobody's business to guess.
  bool Keys(const element& e, const std::string& where) {
    object o;
    simdjson::dom::array list;
    if (e.get(o) == simdjson::SUCCESS) return Keys(o, where);
    if (e.get(list)) return true;
    size_t i = 0;
    for (const element item : list) {
      if ((item.is_object() || item.is_array()) && !Keys(item, StrCat(where, "/", i))) return false;
      ++i;
    }
    return true;
  }
  bool Keys(const object& o, const std::string& where) {
    std::vector<std::string_view> names;
    for (const auto field : o) {
      names.push_back(field.key);
      if ((field.value.is_object() || field.value.is_array()) &&
          !Keys(field.value, StrCat(where, "/", Token(field.key))))
        return false;
    }
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    return twice == names.end() || Fault(StrCat(where, "/", Token(*twice)), "is there twice");
  }

  bool Version(const object& o) {
    std::string_view v;
    if (o["spec_version"].get(v) == simdjson::SUCCESS && v != "2.1")
      return Fault("/spec_version", StrCat("is ", v.substr(0, 16), "; only 2.1 is read"));
    return true;
  }

  static bool IsTrue(const object& o, std::string_view name) {
    bool b = false;
    return o[name].get(b) == simdjson::SUCCESS && b;
  }
  static bool Has(const object& o, std::string_view name) {
    return o[name].error() == simdjson::SUCCESS;
  }

  // Types that the specification lacks come with an extension, or by the older custom under "x-".
  bool Custom(const object& o, std::string_view type) {
    bool extended = false, observable = false;
    object extensions;
    if (o["extensions"].get(extensions) == simdjson::SUCCESS) {
      for (const auto field : extensions) {
        std::string_view kind;
        if (field.value["extension_type"].get(kind) != simdjson::SUCCESS) continue;
        extended |= kind.starts_with("new-");
        observable |= kind == "new-sco";
      }
    }
    if (!extended && !type.starts_with("x-"))
      return Fault("/type", StrCat("'", type.substr(0, 64),
                                   "' is no type of STIX 2.1 and no extension brings it"));
    observable |= !extended && !Has(o, "created");
    out_->object_class = observable ? Class::kSco : Class::kSdo;
    std::vector<Property> common;
    ParseProperties(observable ? kCommonObservable : kCommon, &common);
    return Properties(o, common, true);
  }

  bool Known(const object& o, const Type& type) {
    bool extended = false;
    object extensions;
    if (o["extensions"].get(extensions) == simdjson::SUCCESS) {
      for (const auto field : extensions) {
        std::string_view kind;
        extended |= field.value["extension_type"].get(kind) == simdjson::SUCCESS &&
                    kind == "toplevel-property-extension";
      }
    }
    return Properties(o, type.properties, extended);
  }

  bool Properties(const object& o, const std::vector<Property>& properties, bool extended) {
    for (const Property& p : properties)
      if (p.required && !Has(o, p.name)) return Fault(StrCat("/", p.name), "is missing");
    for (const auto field : o) {
      const std::string where = StrCat("/", Token(field.key));
      const auto p = std::find_if(properties.begin(), properties.end(),
                                  [&](const Property& q) { return q.name == field.key; });
      if (p == properties.end()) {
        if (field.key.size() < 3 || field.key.size() > 250 ||
            !std::all_of(field.key.begin(), field.key.end(),
                         [](char c) { return IsLower(c) || IsDigit(c) || c == '_'; }))
          return Fault(where, "names of properties are 3 to 250 of a to z, 0 to 9 and _");
        if (!extended && !field.key.starts_with("x_"))
          return Fault(where, StrCat("is no property of ", out_->type,
                                     "; what is added begins with x_ or comes with an extension"));
        continue;
      }
      if (!p->list) {
        if (!Value(field.value, *p, where)) return false;
        continue;
      }
      simdjson::dom::array list;
      if (field.value.get(list)) return Fault(where, "is no list");
      if (list.size() == 0) return Fault(where, "is an empty list; leave it out");
      size_t i = 0;
      for (const element item : list)
        if (!Value(item, *p, StrCat(where, "/", i++))) return false;
    }
    return true;
  }

  bool Value(const element& e, const Property& p, const std::string& where) {
    std::string_view v;
    const bool text = e.get(v) == simdjson::SUCCESS;
    const auto integer = [&](int64_t from, int64_t to) {
      int64_t n = 0;
      if (e.get(n)) return Fault(where, "is no whole number");
      return (n >= from && n <= to) || Fault(where, StrCat("is not within ", from, " and ", to));
    };
    switch (p.kind[0]) {
      case 's':
      case 'w':
      case 'l':
      case 't':
      case 'm':
      case 'x':
      case 'q':
      case 'e':
      case 'r':
        if (!text) return Fault(where, "is no text");
        return Text(v, p, where);
      case 'i':
        return integer(INT64_MIN, INT64_MAX);
      case 'n':
        return integer(0, INT64_MAX);
      case 'o':
        return integer(1, 999'999'999);
      case 'c':
        return integer(0, 100);
      case 'p':
        return integer(0, 65'535);
      case 'b':
        return e.is_bool() || Fault(where, "is neither true nor false");
      case 'f':
        return e.is_number() || Fault(where, "is no number");
      case 'h':
        return Hashes(e, where);
      case 'd':
        return Dictionary(e, where);
      case 'k':
        return KillChain(e, where);
      case 'y':
        return External(e, where);
      case 'g':
        return Granular(e, where);
      case 'z':
        return Extensions(e, where);
      default:
        return !e.is_null() || Fault(where, "null is no value; leave it out");
    }
  }

  bool Text(std::string_view v, const Property& p, const std::string& where) {
    switch (p.kind[0]) {
      case 's':
        return true;
      case 'w':
        return (!v.empty() &&
                std::all_of(v.begin(), v.end(),
                            [](char c) { return IsLower(c) || IsDigit(c) || c == '-'; })) ||
               Fault(where, "is a to z, 0 to 9 and -");
      case 'l':
        return (v.size() >= 2 && v.size() <= 35 &&
                std::all_of(v.begin(), v.end(),
                            [](char c) { return IsLower(c | 0x20) || IsDigit(c) || c == '-'; })) ||
               Fault(where, "is no language by RFC 5646");
      case 't':
        return Time(v).has_value() || Fault(where, "is no RFC 3339 time in UTC, ending in Z");
      case 'm': {
        const size_t point = v.find('.');
        return (Time(v) && point != v.npos && v.size() - point >= 5) ||
               Fault(where, "is no RFC 3339 time in UTC to the millisecond, ending in Z");
      }
      case 'x':
        return (v.size() % 2 == 0 && std::all_of(v.begin(), v.end(), IsHexDigit)) ||
               Fault(where, "is no hexadecimal text");
      case 'q': {
        size_t n = v.size();
        while (n > 0 && v.size() - n < 2 && v[n - 1] == '=') --n;
        return (v.size() % 4 == 0 && std::all_of(v.begin(), v.begin() + static_cast<long>(n),
                                                 [](char c) {
                                                   return IsLower(c | 0x20) || IsDigit(c) ||
                                                          c == '+' || c == '/';
                                                 })) ||
               Fault(where, "is no base64");
      }
      case 'e':
        return Among(p.among, v) || Fault(where, StrCat("is none of ", p.among));
      default: {
        const std::string_view type = TypeOfId(v);
        if (type.empty()) return Fault(where, "is no identifier, TYPE--UUID");
        if (!p.among.empty() && !Among(p.among, type))
          return Fault(where, StrCat("refers to ", type, ", not to ", p.among));
        out_->references.push_back({p.name, v, where});
        return true;
      }
    }
  }

  bool Hashes(const element& e, const std::string& where) {
    object o;
    if (e.get(o)) return Fault(where, "is no dictionary");
    if (o.size() == 0) return Fault(where, "is empty; leave it out");
    struct Length {
      std::string_view name;
      size_t digits;
    };
    static constexpr Length kLengths[] = {{"MD5", 32},      {"SHA-1", 40},    {"SHA-256", 64},
                                          {"SHA-512", 128}, {"SHA3-256", 64}, {"SHA3-512", 128}};
    for (const auto field : o) {
      std::string_view v;
      const std::string at = StrCat(where, "/", Token(field.key));
      if (field.value.get(v)) return Fault(at, "is no text");
      for (const Length& l : kLengths)
        if (l.name == field.key &&
            (v.size() != l.digits || !std::all_of(v.begin(), v.end(), IsHexDigit)))
          return Fault(at, StrCat("is not ", l.digits, " hexadecimal digits"));
      if (v.empty()) return Fault(at, "is empty");
    }
    return true;
  }

  bool Dictionary(const element& e, const std::string& where) {
    object o;
    if (e.get(o)) return Fault(where, "is no dictionary");
    if (o.size() == 0) return Fault(where, "is empty; leave it out");
    for (const auto field : o)
      if (field.key.empty() || field.key.size() > 250 || field.value.is_null())
        return Fault(StrCat(where, "/", Token(field.key)),
                     "a dictionary has keys of 1 to 250 signs and values that are not null");
    return true;
  }

  bool TextIn(const object& o, std::string_view name, bool required, const std::string& where) {
    std::string_view v;
    const auto error = o[name].get(v);
    if (error == simdjson::NO_SUCH_FIELD)
      return !required || Fault(StrCat(where, "/", name), "is missing");
    return error == simdjson::SUCCESS || Fault(StrCat(where, "/", name), "is no text");
  }

  bool KillChain(const element& e, const std::string& where) {
    object o;
    if (e.get(o)) return Fault(where, "is no kill chain phase");
    return TextIn(o, "kill_chain_name", true, where) && TextIn(o, "phase_name", true, where);
  }

  bool External(const element& e, const std::string& where) {
    object o;
    if (e.get(o)) return Fault(where, "is no external reference");
    if (!TextIn(o, "source_name", true, where) || !TextIn(o, "description", false, where) ||
        !TextIn(o, "url", false, where) || !TextIn(o, "external_id", false, where))
      return false;
    element hashes;
    if (o["hashes"].get(hashes) == simdjson::SUCCESS && !Hashes(hashes, where + "/hashes"))
      return false;
    if (!Has(o, "description") && !Has(o, "url") && !Has(o, "external_id"))
      return Fault(where, "needs a description, url or external_id beside its source_name");
    const std::string_view source = Get(o, "source_name");
    std::string_view id;
    if ((source == "cve" || source == "capec") &&
        (o["external_id"].get(id) || !id.starts_with(source == "cve" ? "CVE-" : "CAPEC-")))
      return Fault(where + "/external_id", StrCat("is no id of ", source));
    return true;
  }

  bool Granular(const element& e, const std::string& where) {
    object o;
    if (e.get(o)) return Fault(where, "is no granular marking");
    std::string_view ref;
    const bool lang = Has(o, "lang"), marking = Has(o, "marking_ref");
    if (lang == marking) return Fault(where, "has either a lang or a marking_ref");
    if (marking) {
      if (o["marking_ref"].get(ref) || TypeOfId(ref) != "marking-definition")
        return Fault(where + "/marking_ref", "refers to no marking definition");
      out_->references.push_back({"marking_ref", ref, where + "/marking_ref"});
    } else if (!TextIn(o, "lang", true, where)) {
      return false;
    }
    simdjson::dom::array selectors;
    if (o["selectors"].get(selectors) || selectors.size() == 0)
      return Fault(where + "/selectors", "is no list, or an empty one");
    size_t i = 0;
    for (const element s : selectors) {
      std::string_view v;
      if (s.get(v) || v.empty() || !std::all_of(v.begin(), v.end(), [](char c) {
            return IsLower(c) || IsDigit(c) || c == '_' || c == '-' || c == '.' || c == '[' ||
                   c == ']';
          }))
        return Fault(StrCat(where, "/selectors/", i), "selects nothing");
      ++i;
    }
    return true;
  }

  bool Extensions(const element& e, const std::string& where) {
    object o;
    if (e.get(o)) return Fault(where, "is no dictionary");
    if (o.size() == 0) return Fault(where, "is empty; leave it out");
    for (const auto field : o) {
      const std::string at = StrCat(where, "/", Token(field.key));
      object value;
      if (field.value.get(value) || value.size() == 0)
        return Fault(at, "is no dictionary, or an empty one");
      const bool defined = TypeOfId(field.key) == "extension-definition";
      if (!defined && !(IsTypeName(field.key) && field.key.ends_with("-ext")))
        return Fault(at, "is no extension: extension-definition--UUID, or a name ending in -ext");
      std::string_view kind;
      if (defined &&
          (value["extension_type"].get(kind) || !Among("new-sdo,new-sco,new-sro,property-extension,"
                                                       "toplevel-property-extension",
                                                       kind)))
        return Fault(at + "/extension_type", "is missing, or none of the five");
      if (field.key == kExtension && !Own(value, at)) return false;
    }
    return true;
  }

  // Stillwatch's own extension, as share/stix/extension.json has it.
  bool Own(const object& o, const std::string& where) {
    for (const auto field : o) {
      const std::string at = StrCat(where, "/", Token(field.key));
      object v;
      if (field.key == "extension_type") {
        if (Get(o, "extension_type") != "property-extension")
          return Fault(at, "is not property-extension");
      } else if (field.key == "template_sketch") {
        if (field.value.get(v) || out_->type != "indicator" || !Sketch(v))
          return Fault(at, "is no template sketch: version 2 and ascending hashes of 8 digits");
      } else if (field.key == "decoding_settings") {
        if (field.value.get(v) || out_->type != "indicator" || v.size() == 0)
          return Fault(at, "is no settings of an indicator");
        for (const auto s : v)
          if (!(Among("temperature,top_p,max_tokens", s.key)
                    ? s.value.is_number()
                    : s.key == "stream" && s.value.is_bool()))
            return Fault(StrCat(at, "/", Token(s.key)), "is no decoding setting");
      } else if (field.key == "campaign_figures") {
        if (field.value.get(v) || out_->type != "campaign")
          return Fault(at, "is no figures of a campaign");
        if (!Figures(v, at)) return false;
      } else {
        return Fault(at, "is no property of Stillwatch's extension");
      }
    }
    return true;
  }

  bool Sketch(const object& o) {
    int64_t version = 0;
    simdjson::dom::array hashes;
    if (o.size() != 2 || o["version"].get(version) || version != kSketchFormat ||
        o["hashes"].get(hashes) || hashes.size() > kSketchHashes)
      return false;
    std::string value = "2:";
    for (const element h : hashes) {
      std::string_view v;
      if (h.get(v) || v.size() != 8) return false;
      value += v;
    }
    sketch_ = value;
    return Item::Parse(ItemType::kTemplateSketch, value).has_value();
  }

  bool Figures(const object& o, const std::string& where) {
    for (const auto field : o) {
      const std::string at = StrCat(where, "/", Token(field.key));
      uint64_t n = 0;
      double share = 0;
      object v;
      simdjson::dom::array list;
      if (field.key == "accounts" || field.key == "exchanges") {
        if (field.value.get(n)) return Fault(at, "is no number from 0");
      } else if (field.key == "probability") {
        if (field.value.get(share) || !(share >= 0 && share <= 1))
          return Fault(at, "is not within 0 and 1");
      } else if (field.key == "capabilities") {
        if (field.value.get(v)) return Fault(at, "is no dictionary");
        for (const auto c : v)
          if (!Item::Parse(ItemType::kCapability, c.key) || c.value.get(share) ||
              !(share >= 0 && share <= 1))
            return Fault(StrCat(at, "/", Token(c.key)), "is no capability with its share");
      } else if (field.key == "evidence") {
        if (field.value.get(list) || list.size() == 0)
          return Fault(at, "is no list, or an empty one");
        for (const element f : list) {
          std::string_view name;
          if (f.get(name) || !Item::Parse(ItemType::kCapability, name))
            return Fault(at, "is no list of families");
        }
      } else {
        return Fault(at, "is no figure");
      }
    }
    return true;
  }

  std::string_view Get(const object& o, std::string_view name) {
    std::string_view v;
    return o[name].get(v) == simdjson::SUCCESS ? v : std::string_view();
  }

  // `later` is not before `earlier`; `strict`: after it.
  bool Order(const object& o, std::string_view earlier, std::string_view later, bool strict) {
    const auto a = Time(Get(o, earlier)), b = Time(Get(o, later));
    if (!a || !b || (strict ? *a < *b : *a <= *b)) return true;
    return Fault(StrCat("/", later), StrCat("is before ", earlier, strict ? ", or the same" : ""));
  }

  // What more than one property says together.
  bool Deeper(const object& o, std::string_view type) {
    if (!Order(o, "created", "modified", false) || !Order(o, "first_seen", "last_seen", false) ||
        !Order(o, "first_observed", "last_observed", false) ||
        !Order(o, "valid_from", "valid_until", true) ||
        !Order(o, "start_time", "stop_time", true) || !Order(o, "start", "end", false) ||
        !Order(o, "validity_not_before", "validity_not_after", false) ||
        !Order(o, "analysis_started", "analysis_ended", false))
      return false;
    if (!Levels(o)) return false;
    for (const Reference& r : out_->references) {
      const bool self = r.to == out_->id;
      // An identity may say that it made itself: there its chain of makers ends.
      if (self && !(type == "identity" && r.from == "created_by_ref"))
        return Fault(r.pointer, "refers to the object itself");
    }
    if (type == "relationship" || type == "sighting") {
      for (const std::string_view name : {"source_ref", "target_ref", "sighting_of_ref"})
        if (Among("relationship,sighting,bundle,marking-definition,language-content",
                  TypeOfId(Get(o, name))))
          return Fault(StrCat("/", name), "refers to what no such object relates");
      if (type == "relationship" && Get(o, "source_ref") == Get(o, "target_ref"))
        return Fault("/target_ref", "is the source_ref itself");
    }
    if (type == "observed-data" && Has(o, "objects") == Has(o, "object_refs"))
      return Fault("/object_refs", "needs object_refs, or the older objects, and not both");
    if (type == "observed-data") {
      for (const Reference& r : out_->references) {
        if (r.from != "object_refs") continue;
        const auto found = Types().find(TypeOfId(r.to));
        if (found != Types().end() && found->second.object_class != Class::kSco &&
            found->second.object_class != Class::kSro)
          return Fault(r.pointer, "refers to no observable");
      }
    }
    if (type == "malware-analysis" && !Has(o, "result") && !Has(o, "analysis_sco_refs"))
      return Fault("/result", "needs a result or analysis_sco_refs");
    if (type == "location" && !Place(o)) return false;
    if (type == "malware" && !Has(o, "name") && IsTrue(o, "is_family"))
      return Fault("/name", "is missing; a family has one");
    if (type == "extension-definition" && !Has(o, "created_by_ref"))
      return Fault("/created_by_ref", "is missing");
    if (type == "marking-definition" && !Marking(o)) return false;
    if (type == "indicator" && !IndicatorPattern(o)) return false;
    if (out_->object_class == Class::kSco) return Observables(o, type);
    return true;
  }

  bool Place(const object& o) {
    double d = 0;
    const bool latitude = o["latitude"].get(d) == simdjson::SUCCESS;
    if (latitude && !(d >= -90 && d <= 90)) return Fault("/latitude", "is not within -90 and 90");
    const bool longitude = o["longitude"].get(d) == simdjson::SUCCESS;
    if (longitude && !(d >= -180 && d <= 180))
      return Fault("/longitude", "is not within -180 and 180");
    if (latitude != longitude) return Fault("/latitude", "needs its longitude, and the other way");
    if (Has(o, "precision") && !latitude)
      return Fault("/precision", "needs latitude and longitude");
    if (!Has(o, "region") && !Has(o, "country") && !latitude)
      return Fault("/region", "needs a region, a country or a latitude and longitude");
    return true;
  }

  // An object has one level of TLP; which of two would hold nobody should have to guess.
  bool Levels(const object& o) {
    std::string_view level;
    for (const Reference& r : out_->references) {
      if (r.from != "object_marking_refs") continue;
      const std::string_view tlp = TlpOf(r.to);
      if (tlp.empty()) continue;
      if (!level.empty() && tlp != level)
        return Fault(r.pointer, StrCat("marks as TLP ", tlp, " what is marked as TLP ", level));
      level = tlp;
    }
    return true;
  }

  bool Marking(const object& o) {
    const bool extended = Has(o, "extensions");
    object definition;
    const bool defined = o["definition"].get(definition) == simdjson::SUCCESS;
    if (Has(o, "definition") && !defined) return Fault("/definition", "is no dictionary");
    if (defined != Has(o, "definition_type"))
      return Fault("/definition", "needs its definition_type, and the other way");
    if (!defined && !extended) return Fault("/definition", "is missing, and there is no extension");
    if (Get(o, "definition_type") == "statement" &&
        !TextIn(definition, "statement", true, "/definition"))
      return false;
    std::string_view level2;
    object extensions, tlp2;
    if (extended && o["extensions"].get(extensions) == simdjson::SUCCESS &&
        extensions[kTlp2Extension].get(tlp2) == simdjson::SUCCESS)
      level2 = Get(tlp2, "tlp_2_0");
    const bool tlp1 = Get(o, "definition_type") == "tlp";
    for (const Markings& m : kTlp) {
      if (out_->id == m.id && level2 != m.level)
        return Fault("/extensions", StrCat("this id is TLP 2.0 ", m.level, " and nothing else"));
      if (out_->id == m.version1 && (!tlp1 || Get(definition, "tlp") != m.color))
        return Fault("/definition", StrCat("this id is TLP 1 ", m.color, " and nothing else"));
      if (level2 == m.level && out_->id != m.id)
        return Fault("/id", StrCat("TLP 2.0 ", m.level, " has one id, ", m.id));
      if (tlp1 && !m.color.empty() && Get(definition, "tlp") == m.color && out_->id != m.version1)
        return Fault("/id", StrCat("TLP 1 ", m.color, " has one id, ", m.version1));
    }
    if (TlpOf(out_->id).empty() && (tlp1 || HasTlp2(o))) return Fault("/id", "is no level of TLP");
    return true;
  }
  static bool HasTlp2(const object& o) {
    object extensions;
    return o["extensions"].get(extensions) == simdjson::SUCCESS && Has(extensions, kTlp2Extension);
  }

  bool IndicatorPattern(const object& o) {
    const std::string_view kind = Get(o, "pattern_type"), text = Get(o, "pattern");
    if (text.empty()) return Fault("/pattern", "is empty");
    if (kind == "stix") {
      const auto pattern = ParsePattern(text);
      if (!pattern.ok())
        return Fault("/pattern", std::string_view(pattern.status().message().data(),
                                                  pattern.status().message().size()));
    } else if (kind == kPatternType) {
      const auto item = ParseOwnPattern(text);
      if (!item) return Fault("/pattern", "is no pattern of Stillwatch: TYPE = 'VALUE'");
      if (!sketch_.empty() && item->value() != sketch_)
        return Fault("/pattern", "is not the sketch of the extension");
    }
    if (kind != kPatternType && !sketch_.empty())
      return Fault("/pattern", "is not the sketch of the extension");
    return true;
  }

  // An observable's id follows from its content where it is of version 5.
  bool Observables(const object& o, std::string_view type) {
    if (type == "ipv4-addr" || type == "ipv6-addr") {
      const std::string_view v = Get(o, "value");
      const std::string_view host = v.substr(0, v.find('/'));
      if (!Item::Parse(ItemType::kAddress, host) && type == "ipv4-addr")
        return Fault("/value", "is no IPv4 address or range");
      if (type == "ipv6-addr" && (host.find(':') == host.npos || host.size() > 45 ||
                                  !std::all_of(host.begin(), host.end(), [](char c) {
                                    return IsHexDigit(c) || c == ':' || c == '.';
                                  })))
        return Fault("/value", "is no IPv6 address or range");
      if (host.size() < v.size()) {
        const std::string_view bits = v.substr(host.size() + 1);
        if (bits.empty() || bits.size() > 3 || !std::all_of(bits.begin(), bits.end(), IsDigit) ||
            std::stoi(std::string(bits)) > (type == "ipv4-addr" ? 32 : 128))
          return Fault("/value", "is no range of addresses");
      }
    }
    struct Contributing {
      std::string_view type, names;
    };
    // Section 6; in the order in which RFC 8785 sorts them.
    static constexpr Contributing kContributing[] = {
        {"artifact", "hashes,payload_bin"},
        {"autonomous-system", "number"},
        {"directory", "path"},
        {"domain-name", "value"},
        {"email-addr", "value"},
        {"email-message", "body,from_ref,subject"},
        {"file", "extensions,hashes,name,parent_directory_ref"},
        {"ipv4-addr", "value"},
        {"ipv6-addr", "value"},
        {"mac-addr", "value"},
        {"mutex", "name"},
        {"network-traffic", "dst_port,dst_ref,end,extensions,protocols,src_port,src_ref,start"},
        {"software", "cpe,name,swid,vendor,version"},
        {"url", "value"},
        {"user-account", "account_login,account_type,user_id"},
        {"windows-registry-key", "key,values"},
        {"x509-certificate", "hashes,serial_number"},
    };
    const std::string_view uuid = out_->id.substr(out_->id.find("--") + 2);
    if (uuid[14] != '5') return true;
    for (const Contributing& c : kContributing) {
      if (c.type != type) continue;
      std::string name = "{";
      bool any = false, all = true;
      for (size_t at = 0; at <= c.names.size();) {
        const size_t end = std::min(c.names.find(',', at), c.names.size());
        const std::string_view property = c.names.substr(at, end - at);
        at = end + 1;
        element e;
        if (o[property].get(e)) continue;
        base::StrAppend(&name, any ? "," : "", "\"", property, "\":");
        any = true;
        all &= property == "hashes" ? OneHash(e, &name) : Canonical(e, &name);
      }
      if (!any) return Fault("/id", "a version 5 id needs the properties that it follows from");
      std::string lower(uuid);
      for (char& ch : lower)
        if (ch >= 'A' && ch <= 'F') ch = static_cast<char>(ch | 0x20);
      if (all && Uuid5(kOasisNamespace, name + "}") != lower)
        return Fault("/id", "does not follow from the object's properties");
      return true;
    }
    return true;
  }

  // Of several hashes the first of these counts.
  bool OneHash(const element& e, std::string* out) {
    object o;
    if (e.get(o)) return false;
    for (const std::string_view name : {"MD5", "SHA-1", "SHA-256", "SHA-512"}) {
      std::string_view v;
      if (o[name].get(v)) continue;
      base::StrAppend(out, "{\"", name, "\":", CanonicalString(v), "}");
      return true;
    }
    return false;  // others sort by name, and implementations differ
  }

  // RFC 8785 but for fractions, whose shortest form is not worth its code here; false then.
  bool Canonical(const element& e, std::string* out) {
    switch (e.type()) {
      case element_type::STRING: {
        std::string_view v;
        if (e.get(v)) return false;
        *out += CanonicalString(v);
        return true;
      }
      case element_type::INT64: {
        int64_t n = 0;
        if (e.get(n)) return false;
        base::StrAppend(out, n);
        return true;
      }
      case element_type::UINT64: {
        uint64_t n = 0;
        if (e.get(n)) return false;
        base::StrAppend(out, n);
        return true;
      }
      case element_type::BOOL: {
        bool b = false;
        if (e.get(b)) return false;
        *out += b ? "true" : "false";
        return true;
      }
      case element_type::ARRAY: {
        bool all = true, first = true;
        *out += '[';
        simdjson::dom::array list;
        if (e.get(list)) return false;
        for (const element item : list) {
          if (!std::exchange(first, false)) *out += ',';
          all &= Canonical(item, out);
        }
        *out += ']';
        return all;
      }
      case element_type::OBJECT: {
        std::map<std::string_view, element> sorted;
        bool all = true, first = true;
        object o;
        if (e.get(o)) return false;
        for (const auto field : o) {
          sorted.emplace(field.key, field.value);
          all &= std::all_of(field.key.begin(), field.key.end(), [](char c) { return c > 0; });
        }
        *out += '{';
        for (const auto& [key, value] : sorted) {
          if (!std::exchange(first, false)) *out += ',';
          base::StrAppend(out, CanonicalString(key), ":");
          all &= Canonical(value, out);
        }
        *out += '}';
        return all;
      }
      default:
        return false;
    }
  }

  Checked* out_;
  std::string* fault_;
  std::string sketch_;  // of the extension, as an item's value
};

}  // namespace

std::string_view TlpOf(std::string_view id) {
  for (const Markings& m : kTlp)
    if (id == m.id || (!m.version1.empty() && id == m.version1)) return m.level;
  return {};
}

std::string_view TlpId(std::string_view level) {
  for (const Markings& m : kTlp)
    if (level == m.level) return m.id;
  return {};
}

bool Check(const object& o, Checked* out, std::string* fault) { return Checker(out, fault).Run(o); }

}  // namespace stillwatch::share::stix
