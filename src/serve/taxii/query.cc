#include "serve/taxii/query.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>

#include "base/hash.h"
#include "base/hex.h"
#include "base/str.h"
#include "serve/http/router.h"
#include "share/collections/stamp.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;

template <typename F>
void Split(std::string_view text, F each) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (!each(text.substr(begin, end - begin))) return;
    begin = end + 1;
  }
}

bool IsType(std::string_view v) {
  return v.size() >= 3 && v.size() <= 250 &&
         v.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == v.npos;
}

uint64_t Belongs(const TaxiiQuery& q, std::string_view scope) {
  return base::Hash64(StrCat(scope, "?", q.filters));
}

}  // namespace

bool IsStixId(std::string_view id) {
  const size_t at = id.find("--");
  return at != id.npos && IsType(id.substr(0, at)) && share::IsUuid(id.substr(at + 2));
}

std::string NextOf(int64_t added_us, const TaxiiQuery& query, std::string_view scope) {
  return base::Hex(uint64_t(added_us)) + base::Hex(Belongs(query, scope));
}

absl::StatusOr<TaxiiQuery> ParseTaxiiQuery(std::string_view query, const TaxiiKnown& known,
                                           std::string_view scope) {
  const auto bad = [](std::string_view key, std::string_view what) {
    return absl::InvalidArgumentError(StrCat(key, ": ", what));
  };
  std::map<std::string, std::string> given;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.empty()) continue;
    const size_t eq = std::min(one.find('='), one.size());
    auto key = PercentDecode(one.substr(0, eq), true);
    auto value = PercentDecode(one.substr(std::min(eq + 1, one.size())), true);
    if (!key || !value) return bad("query", "a % is not followed by two hexadecimal digits");
    const bool match = key->starts_with("match[");
    const bool page = *key == "added_after" || *key == "limit" || *key == "next";
    if (!match && !page) continue;
    const bool mine = page                            ? known.page
                      : *key == "match[id]"           ? known.id
                      : *key == "match[type]"         ? known.type
                      : *key == "match[version]"      ? known.version
                      : *key == "match[spec_version]" ? known.spec_version
                                                      : false;
    if (!mine) return bad(*key, "no filter of this resource");
    if (value->empty()) return bad(*key, "is empty");
    if (!given.emplace(*key, *std::move(value)).second) return bad(*key, "is there twice");
  }
  TaxiiQuery out;
  std::string next;
  for (const auto& one : given) {
    const std::string &key = one.first, &value = one.second;
    if (key == "limit") {
      uint64_t n = 0;
      const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), n);
      if (rest != value.data() + value.size() || error == std::errc::invalid_argument ||
          (error == std::errc() && n == 0)) {
        return bad(key, "expected a number of objects, 1 or more");
      }
      if (error == std::errc()) out.limit = size_t(std::min<uint64_t>(n, share::kPageObjects));
      continue;
    }
    if (key == "next") {
      next = value;
      continue;
    }
    base::StrAppend(&out.filters, key, "=", value, "&");
    if (key == "added_after") {
      const auto us = share::ParseMicros(value);
      if (!us) return bad(key, "expected a time like 2026-04-22T00:01:43.688001Z");
      out.filter.after_us = *us;
      continue;
    }
    size_t n = 0;
    absl::Status fault;
    bool spec = false;
    Split(value, [&](std::string_view v) {
      if (++n > kFilterValues) {
        fault = bad(key, StrCat("more than ", kFilterValues, " values"));
      } else if (key == "match[id]") {
        if (!IsStixId(v)) fault = bad(key, "expected STIX ids, type--uuid, between commas");
        out.filter.ids.emplace_back(v);
      } else if (key == "match[type]") {
        if (!IsType(v)) fault = bad(key, "expected names of STIX types between commas");
        out.filter.types.emplace_back(v);
      } else if (key == "match[spec_version]") {
        if (v.size() < 3 || v.find_first_not_of("0123456789.") != v.npos)
          fault = bad(key, "expected versions like 2.1 between commas");
        spec |= v == "2.1";
      } else if (v == "all") {
        out.filter.all = true;
      } else if (v == "first") {
        out.filter.first = true;
      } else if (v == "last") {
        out.filter.last = true;
      } else if (const auto us = share::ParseMicros(v)) {
        out.filter.versions_us.push_back(*us);
      } else {
        fault = bad(key, "expected first, last, all or times between commas");
      }
      return fault.ok();
    });
    if (!fault.ok()) return fault;
    if (key == "match[version]" && out.filter.all && n > 1)
      return bad(key, "all goes with no other value");
    if (key == "match[spec_version]" && !spec) out.none = true;
  }
  if (!next.empty()) {
    uint64_t at = 0, belongs = 0;
    const auto hex = [&](size_t from, uint64_t* v) {
      const char* begin = next.data() + from;
      const auto [rest, error] = std::from_chars(begin, begin + 16, *v, 16);
      return error == std::errc() && rest == begin + 16;
    };
    if (next.size() != 32 || !hex(0, &at) || !hex(16, &belongs))
      return bad("next", "is none that this server gave; begin again without it");
    if (belongs != Belongs(out, scope)) {
      return bad("next",
                 "belongs to a request with other filters; send the filters that it came from");
    }
    out.filter.after_us = std::max(out.filter.after_us, int64_t(at));
  }
  return out;
}

}  // namespace stillwatch::serve
