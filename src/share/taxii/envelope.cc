#include "share/taxii/envelope.h"

#include "base/str.h"

namespace stillwatch::share {

absl::StatusOr<Envelope> ReadEnvelope(const simdjson::padded_string& text, size_t objects_max) {
  const auto bad = [](std::string_view what) {
    return absl::InvalidArgumentError(std::string(what));
  };
  constexpr std::string_view kExpected = "expected an envelope: {\"objects\": [...]}";
  // The whole is checked first; then it is gone through again for where each object stands.
  simdjson::dom::parser parser;
  simdjson::dom::element root, member;
  if (const auto error = parser.parse(text).get(root))
    return bad(base::StrCat("the body is no JSON: ", simdjson::error_message(error)));
  if (!root.is_object()) return bad(kExpected);
  if (std::string_view type; !root["type"].get(type) && type == "bundle")
    return bad("this is a STIX bundle; send its objects as an envelope: {\"objects\": [...]}");
  Envelope out;
  if (!root["more"].get(member) && member.get(out.more))
    return bad("/more: expected true or false");
  if (!root["next"].get(member)) {
    std::string_view next;
    if (member.get(next)) return bad("/next: expected text");
    out.next = next;
  }
  if (root["objects"].get(member)) return out;
  if (!member.is_array()) return bad("/objects: expected an array");
  namespace sj = simdjson::ondemand;
  sj::parser again;
  sj::document doc;
  sj::array array;
  if (again.iterate(text).get(doc) || doc["objects"].get_array().get(array)) return bad(kExpected);
  for (auto value : array) {
    std::string_view object;
    if (simdjson::to_json_string(value).get(object)) return bad("/objects: cannot be read");
    if (out.objects.size() == objects_max) {
      return absl::ResourceExhaustedError(
          base::StrCat("more than ", objects_max, " objects in one envelope"));
    }
    while (!object.empty() && std::string_view(" \n\r\t").find(object.back()) != object.npos)
      object.remove_suffix(1);
    out.objects.push_back(object);
  }
  return out;
}

}  // namespace stillwatch::share
