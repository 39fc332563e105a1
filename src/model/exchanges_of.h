// A statement's table of the exchanges that a scan attributed to a campaign: findings quote it, and
// whoever asks the lake anew uses the same.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace stillwatch::model {

// Of table `exchanges`, and its name around; empty: the same.
struct ExchangeColumn {
  std::string_view column, as = {};
};

// "(SELECT ... GROUP BY exchange_id)": exchange_id and `columns` of each exchange, once. Of records
// with one id that with the least content counts, as in a scan. `campaign`: its id as SQL writes
// it, in quotes. `attributed` and `exchanges`: further conditions on the rows of those tables;
// empty: none. An exchange takes 8 bytes of the statement's memory beside the answer.
std::string ExchangesOf(std::string_view campaign, std::span<const ExchangeColumn> columns,
                        std::string_view attributed = {}, std::string_view exchanges = {});

}  // namespace stillwatch::model
