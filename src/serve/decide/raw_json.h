// A value as it stands in a body, brackets included and blanks behind it left out.
#pragma once

#include <simdjson.h>

#include <string_view>

namespace stillwatch::serve {

// Throws simdjson_error where the value is cut short. The view is of the parsed body.
inline std::string_view RawJson(simdjson::ondemand::value& v) {
  switch (v.type().value()) {
    case simdjson::ondemand::json_type::array:
      return v.get_array().value().raw_json().value();
    case simdjson::ondemand::json_type::object:
      return v.get_object().value().raw_json().value();
    default: {
      std::string_view token = v.raw_json_token();
      while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ') {
        token.remove_suffix(1);
      }
      return token;
    }
  }
}

}  // namespace stillwatch::serve
