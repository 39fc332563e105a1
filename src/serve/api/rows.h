// What the state holds, as the API tells it (docs/openapi.yaml). Internal to src/serve/api.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "serve/api/json.h"
#include "state/state.h"

namespace stillwatch::serve::api {

// One row, as an object.
void Write(Out& o, const state::Policy& p, bool text);
void Write(Out& o, const state::Activation& a);
void Write(Out& o, const state::Appeal& a);
void Write(Out& o, const state::Disposition& d);
void Write(Out& o, const state::Feedback& f);
void Write(Out& o, const state::ImportSource& s);
void Write(Out& o, const state::ImportedSighting& s);
void Write(Out& o, const state::ImportedIndicator& i);
void Write(Out& o, const state::TokenInfo& t);
void Write(Out& o, const state::Attestation& a);
void Write(Out& o, const state::ListEntry& e);
void Write(Out& o, const state::ListProposal& p);
void Write(Out& o, const state::Campaign& c);
void Write(Out& o, const state::CampaignMember& m);

template <typename T>
std::string One(const T& row) {
  Out o;
  Write(o, row);
  return o.Done();
}
inline std::string One(const state::Policy& p) {
  Out o;
  Write(o, p, true);
  return o.Done();
}

template <typename T>
HttpReply Many(const state::Rows<T>& rows) {
  Out o;
  o.Object().Int("total", rows.total).Array("rows");
  for (const T& row : rows.rows) {
    if constexpr (std::is_same_v<T, state::Policy>)
      Write(o, row, false);
    else
      Write(o, row);
  }
  o.EndArray().End();
  return JsonReply(o.Done());
}
template <typename T>
HttpReply Many(std::vector<T> rows) {
  const uint64_t n = rows.size();
  return Many(state::Rows<T>{std::move(rows), n});
}

// Rows with a member that is JSON already.
HttpReply ManySpliced(uint64_t total, const std::vector<std::string>& rows);

}  // namespace stillwatch::serve::api
