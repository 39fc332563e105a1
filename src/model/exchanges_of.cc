#include "model/exchanges_of.h"

#include "base/str.h"

namespace stillwatch::model {

std::string ExchangesOf(std::string_view campaign, std::span<const ExchangeColumn> columns,
                        std::string_view attributed, std::string_view exchanges) {
  std::string sql = "(SELECT exchange_id";
  for (const ExchangeColumn& c : columns)
    base::StrAppend(&sql, ", argMin(", c.column, ", content) AS ", c.as.empty() ? c.column : c.as);
  sql += " FROM exchanges WHERE ";
  if (!exchanges.empty()) base::StrAppend(&sql, exchanges, " AND ");
  // Hashes of ids: the ids of a large campaign would not fit into a statement's memory.
  base::StrAppend(&sql,
                  "cityHash64(exchange_id) IN (SELECT cityHash64(exchange_id) FROM attributed "
                  "WHERE campaign_id = ",
                  campaign);
  if (!attributed.empty()) base::StrAppend(&sql, " AND ", attributed);
  return sql + ") GROUP BY exchange_id)";
}

}  // namespace stillwatch::model
