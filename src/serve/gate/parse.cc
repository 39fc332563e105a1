// Bodies of /v1/decide and of LiteLLM's guardrail: the outer fields here, the text by
// ContentParser.
#include <simdjson.h>

#include "base/hash.h"
#include "base/str.h"
#include "serve/decide/raw_json.h"
#include "serve/gate/gate.h"
#include "sketch/sketcher.h"

namespace stillwatch::serve {
namespace {

namespace sj = simdjson::ondemand;
using base::StrCat;

struct Fault {
  std::string what;
};

}  // namespace

struct DecideParser::State {
  sj::parser parser;
  ContentParser content;
  std::string body;
  std::string account, key, org, model, channel, ip, composed;
  std::string system, turn, response;  // of a sketch

  sj::document Open(std::string_view in) {
    body.assign(in);
    body.append(simdjson::SIMDJSON_PADDING, '\0');
    return parser.iterate(body.data(), in.size(), body.size());
  }

  static void Text(sj::value v, std::string_view name, std::string* out) {
    if (v.is_null()) return;
    std::string_view s;
    if (v.get_string().get(s) != simdjson::SUCCESS)
      throw Fault{StrCat(name, ": expected a string")};
    if (s.size() > kGateIdBytesMax)
      throw Fault{StrCat(name, ": longer than ", kGateIdBytesMax, " bytes")};
    out->assign(s);
  }

  // What LiteLLM fills in is its own matter: what is no string is as if it were not there.
  static void Lenient(sj::value v, std::string* out) {
    std::string_view s;
    if (v.get_string().get(s) == simdjson::SUCCESS && s.size() <= kGateIdBytesMax) out->assign(s);
  }

  void Sketch(sj::value v, DecideBody* out) {
    if (v.is_null()) return;
    sj::object object;
    if (v.get_object().get(object) != simdjson::SUCCESS)
      throw Fault{"sketch: expected {version, system, turn, response}"};
    int64_t version = 0;
    system.clear();
    turn.clear();
    response.clear();
    for (auto field : object) {
      const std::string_view name = field.unescaped_key().value();
      sj::value inner = field.value();
      std::string* const part = name == "system"     ? &system
                                : name == "turn"     ? &turn
                                : name == "response" ? &response
                                                     : nullptr;
      if (part != nullptr) {
        Text(inner, StrCat("sketch.", name), part);
      } else if (name == "version" && inner.get_int64().get(version) != simdjson::SUCCESS) {
        throw Fault{"sketch.version: expected a whole number"};
      }
    }
    const absl::Status s = sketch::Decode(int(version), system, turn, response, &out->sketch);
    if (!s.ok()) throw Fault{StrCat("sketch: ", std::string(s.message()))};
    out->sketch.present = true;
    out->request.sketch = &out->sketch;
  }

  void Fill(DecideBody* out) const {
    out->request.account_id = account;
    out->request.api_key_id = key;
    out->request.org_id = org;
    out->request.model = model;
    out->request.channel = channel;
    out->request.client_ip = ip;
  }

  void Clear(DecideBody* out) {
    for (std::string* s : {&account, &key, &org, &model, &channel, &ip, &composed}) s->clear();
    out->request = {};
    out->presented.clear();
    out->sketch.present = false;
  }

  void TakeContent(DecideBody* out) {
    if (out->content.sketch.present && out->request.sketch == nullptr)
      out->request.sketch = &out->content.sketch;
    for (const uint64_t hash : out->content.presented) out->presented.push_back(hash);
  }
};

DecideParser::DecideParser() : state_(std::make_unique<State>()) {}
DecideParser::~DecideParser() = default;

absl::Status DecideParser::Decide(std::string_view body, DecideBody* out) {
  State& s = *state_;
  s.Clear(out);
  bool text = false;
  try {
    sj::document document = s.Open(body);
    sj::object object;
    if (document.get_object().get(object) != simdjson::SUCCESS)
      throw Fault{"expected a JSON object like {\"account_id\": \"...\", \"model\": \"...\"}"};
    for (auto field : object) {
      const std::string_view name = field.unescaped_key().value();
      sj::value v = field.value();
      if (name == "account_id") {
        State::Text(v, name, &s.account);
      } else if (name == "api_key_id") {
        State::Text(v, name, &s.key);
      } else if (name == "org_id") {
        State::Text(v, name, &s.org);
      } else if (name == "model") {
        State::Text(v, name, &s.model);
      } else if (name == "channel") {
        State::Text(v, name, &s.channel);
      } else if (name == "client_ip") {
        State::Text(v, name, &s.ip);
      } else if (name == "messages" || name == "system") {
        const auto type = v.type().value();
        text |= type != sj::json_type::null;
        if (name == "messages" && type != sj::json_type::null && type != sj::json_type::array)
          throw Fault{"messages: expected a list of {role, content}"};
      } else if (name == "sketch") {
        s.Sketch(v, out);
      } else if (name == "reasoning_signatures_presented") {
        if (v.is_null()) continue;
        sj::array list;
        if (v.get_array().get(list) != simdjson::SUCCESS)
          throw Fault{StrCat(name, ": expected a list")};
        for (auto item : list) {
          std::string_view one;
          if (item.get_string().get(one) != simdjson::SUCCESS)
            throw Fault{"reasoning_signatures_presented: expected a list of strings"};
          if (out->presented.size() == kGateSignaturesMax)
            throw Fault{StrCat("reasoning_signatures_presented: more than ", kGateSignaturesMax)};
          out->presented.push_back(base::Hash64(one));
        }
      }
    }
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      throw Fault{"something follows the JSON object"};
  } catch (const Fault& f) {
    return absl::InvalidArgumentError(f.what);
  } catch (const simdjson::simdjson_error& e) {
    return absl::InvalidArgumentError(StrCat("not valid JSON: ", e.what()));
  }
  if (s.account.empty() && s.key.empty())
    return absl::InvalidArgumentError(
        "account_id: missing (or api_key_id, when that is all that is known)");
  s.Fill(out);
  if (text) {
    if (absl::Status status = s.content.Parse(body, false, &out->content); !status.ok())
      return status;
    s.TakeContent(out);
  }
  out->request.signatures_presented = out->presented;
  return absl::OkStatus();
}

bool DecideParser::Litellm(std::string_view body, DecideBody* out) {
  State& s = *state_;
  s.Clear(out);
  std::string user, end_user, hash, org, team;
  std::string_view structured, texts;
  try {
    sj::document document = s.Open(body);
    for (auto field : document.get_object()) {
      const std::string_view name = field.unescaped_key().value();
      sj::value v = field.value();
      if (name == "input_type") {
        std::string_view type;
        if (v.get_string().get(type) == simdjson::SUCCESS && type != "request") return false;
      } else if (name == "model") {
        State::Lenient(v, &s.model);
      } else if (name == "structured_messages" && v.type() == sj::json_type::array) {
        structured = RawJson(v);
      } else if (name == "texts" && v.type() == sj::json_type::array) {
        texts = RawJson(v);
      } else if (name == "request_headers" && v.type() == sj::json_type::object) {
        for (auto header : v.get_object()) {
          const std::string_view h = header.unescaped_key().value();
          sj::value inner = header.value();
          if (h != "x-forwarded-for") continue;
          State::Lenient(inner, &s.ip);
          // Only there where the operator named it in extra_headers; else it reads "[present]".
          if (s.ip.starts_with("[")) s.ip.clear();
          // The last entry is the nearest proxy's own; what stands before it anybody can claim.
          s.ip.erase(0, s.ip.find_last_of(", ") + 1);
        }
      } else if (name == "request_data" && v.type() == sj::json_type::object) {
        for (auto datum : v.get_object()) {
          const std::string_view d = datum.unescaped_key().value();
          sj::value inner = datum.value();
          if (d == "user_api_key_user_id")
            State::Lenient(inner, &user);
          else if (d == "user_api_key_end_user_id")
            State::Lenient(inner, &end_user);
          else if (d == "user_api_key_hash")
            State::Lenient(inner, &hash);
          else if (d == "user_api_key_org_id")
            State::Lenient(inner, &org);
          else if (d == "user_api_key_team_id")
            State::Lenient(inner, &team);
        }
      }
    }
  } catch (const simdjson::simdjson_error&) {
    return false;
  }
  // As ingest reads LiteLLM's log (ingest/formats/litellm.sql), so that the account is the same.
  s.account = !user.empty() && user != "default_user_id" ? user
              : !end_user.empty()                        ? end_user
                                                         : hash;
  s.key = hash;
  s.org = !org.empty() ? org : team;
  s.Fill(out);
  if (!structured.empty()) {
    s.composed = StrCat("{\"messages\":", structured, "}");
  } else if (!texts.empty()) {
    // Texts without roles: what was asked is the last.
    const size_t open = texts.find('['), close = texts.rfind(']');
    if (open != texts.npos && close != texts.npos && close > open) {
      s.composed = StrCat("{\"messages\":[{\"role\":\"user\",\"content\":[");
      bool first = true;
      simdjson::dom::parser parser;
      simdjson::dom::array list;
      if (parser.parse(std::string(texts)).get(list) == simdjson::SUCCESS && list.size() > 0) {
        for (simdjson::dom::element e : list) {
          if (!e.is_string()) continue;
          if (!first) s.composed += "]},{\"role\":\"user\",\"content\":[";
          s.composed += "{\"type\":\"text\",\"text\":" + simdjson::to_string(e) + "}";
          first = false;
        }
      }
      s.composed += "]}]}";
    }
  }
  if (!s.composed.empty() && s.content.Parse(s.composed, false, &out->content).ok()) {
    s.TakeContent(out);
  }
  out->request.signatures_presented = out->presented;
  return true;
}

}  // namespace stillwatch::serve
