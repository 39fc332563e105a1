#include "serve/api/json.h"

#include <algorithm>
#include <charconv>

namespace stillwatch::serve::api {

using base::StrCat;

Body::Body(const HttpRequest& request, std::initializer_list<std::string_view> known) {
  if (request.ContentType() != "application/json") {
    Fault("Content-Type: expected application/json", 415);
    return;
  }
  simdjson::dom::element root;
  if (parser_.parse(request.body.data(), request.body.size()).get(root) != simdjson::SUCCESS ||
      root.get(root_) != simdjson::SUCCESS) {
    Fault("the body is not a JSON object");
    return;
  }
  parsed_ = true;
  Known(root_, known);
}

void Body::Known(simdjson::dom::object o, std::initializer_list<std::string_view> known) {
  std::vector<std::string_view> seen;
  for (const auto& kv : o) {
    if (std::find(known.begin(), known.end(), kv.key) == known.end()) {
      std::string all;
      for (const std::string_view k : known) base::StrAppend(&all, all.empty() ? "" : ", ", k);
      Fault(
          StrCat(kv.key.substr(0, 64), ": unknown field; there are ", all.empty() ? "none" : all));
      return;
    }
    if (std::find(seen.begin(), seen.end(), kv.key) != seen.end()) {
      Fault(StrCat(kv.key, ": appears twice"));
      return;
    }
    seen.push_back(kv.key);
  }
}

std::string Body::TextOf(simdjson::dom::object o, std::string_view key, bool required) {
  simdjson::dom::element e;
  if (o[key].get(e) != simdjson::SUCCESS || e.is_null()) {
    if (required) Fault(StrCat(key, ": is missing"));
    return {};
  }
  std::string_view v;
  if (e.get(v) != simdjson::SUCCESS)
    Fault(StrCat(key, ": expected a string"));
  else if (required && v.empty())
    Fault(StrCat(key, ": is empty"));
  return std::string(v);
}

int64_t Body::TimeOf(simdjson::dom::object o, std::string_view key) {
  const std::string text = TextOf(o, key, false);
  if (text.empty()) return 0;
  const auto ms = base::ParseRfc3339(text);
  if (!ms || *ms <= 0) {
    Fault(StrCat(key, ": expected a time like 2026-12-31T00:00:00Z"));
    return 0;
  }
  return *ms;
}

std::string Body::Text(std::string_view key, bool required) {
  return parsed_ ? TextOf(root_, key, required) : std::string();
}

int64_t Body::Time(std::string_view key) { return parsed_ ? TimeOf(root_, key) : 0; }

int64_t Body::Int(std::string_view key, bool required) {
  if (!parsed_) return 0;
  simdjson::dom::element e;
  int64_t v = 0;
  if (root_[key].get(e) != simdjson::SUCCESS) {
    if (required) Fault(StrCat(key, ": is missing"));
  } else if (e.get(v) != simdjson::SUCCESS || v < 0) {
    Fault(StrCat(key, ": expected a number, 0 or more"));
  }
  return v;
}

bool Body::Bool(std::string_view key) {
  if (!parsed_) return false;
  simdjson::dom::element e;
  bool v = false;
  if (root_[key].get(e) == simdjson::SUCCESS && e.get(v) != simdjson::SUCCESS)
    Fault(StrCat(key, ": expected true or false"));
  return v;
}

std::vector<std::string> Body::Texts(std::string_view key) {
  std::vector<std::string> out;
  simdjson::dom::element e;
  if (!parsed_ || root_[key].get(e) != simdjson::SUCCESS) return out;
  simdjson::dom::array a;
  if (e.get(a) != simdjson::SUCCESS) {
    Fault(StrCat(key, ": expected an array of strings"));
    return out;
  }
  for (simdjson::dom::element one : a) {
    std::string_view v;
    if (one.get(v) != simdjson::SUCCESS) {
      Fault(StrCat(key, ": expected an array of strings"));
      return out;
    }
    out.emplace_back(v);
  }
  return out;
}

std::vector<simdjson::dom::object> Body::Objects(std::string_view key,
                                                 std::initializer_list<std::string_view> known) {
  std::vector<simdjson::dom::object> out;
  simdjson::dom::element e;
  if (!parsed_ || root_[key].get(e) != simdjson::SUCCESS) return out;
  simdjson::dom::array a;
  if (e.get(a) != simdjson::SUCCESS) {
    Fault(StrCat(key, ": expected an array of objects"));
    return out;
  }
  for (simdjson::dom::element one : a) {
    simdjson::dom::object o;
    if (one.get(o) != simdjson::SUCCESS) {
      Fault(StrCat(key, ": expected an array of objects"));
      return out;
    }
    Known(o, known);
    out.push_back(o);
  }
  return out;
}

void Out::Splice(std::string_view key, std::string_view json, std::string* object) {
  object->pop_back();  // "}"
  if (object->back() != '{') object->push_back(',');
  base::AppendJsonString(key, object);
  object->push_back(':');
  simdjson::dom::parser parser;
  simdjson::dom::element e;
  const bool good = parser.parse(json.data(), json.size()).get(e) == simdjson::SUCCESS;
  object->append(good ? json : std::string_view("null"));
  object->push_back('}');
}

std::string TextIn(simdjson::dom::element e, std::string_view key) {
  std::string_view v;
  return e[key].get(v) == simdjson::SUCCESS ? std::string(v) : std::string();
}

int64_t IntIn(simdjson::dom::element e, std::string_view key) {
  int64_t v = 0;
  return e[key].get(v) == simdjson::SUCCESS ? v : 0;
}

absl::StatusOr<size_t> NumberOf(const HttpRequest& r, std::string_view key, size_t otherwise) {
  const auto text = r.Query(key);
  if (!text || text->empty()) return otherwise;
  size_t v = 0;
  const auto [at, error] = std::from_chars(text->data(), text->data() + text->size(), v);
  if (error != std::errc() || at != text->data() + text->size())
    return absl::InvalidArgumentError(StrCat(key, ": expected a number, 0 or more"));
  return v;
}

}  // namespace stillwatch::serve::api
