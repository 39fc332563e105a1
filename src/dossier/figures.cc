#include "dossier/figures.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>

#include "base/str.h"
#include "base/time.h"
#include "model/exchanges_of.h"

namespace stillwatch::dossier {
namespace {

using base::StrCat;

// "prices.yaml:7: ".
std::string At(const std::string& name, const YAML::Mark& mark) {
  return mark.is_null() ? name + ": " : StrCat(name, ":", mark.line + 1, ": ");
}

absl::Status Wrong(const std::string& name, const YAML::Node& at, const std::string& what) {
  return absl::InvalidArgumentError(At(name, at.Mark()) + what);
}

// The document, or what is wrong with it as YAML.
absl::StatusOr<YAML::Node> Load(const std::string& yaml, const std::string& name) {
  try {
    return YAML::Load(yaml);
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(StrCat(At(name, e.mark), "not YAML: ", e.msg));
  }
}

}  // namespace

uint64_t Figures::answered() const {
  uint64_t n = 0;
  for (const ModelUsage& u : usage) n += u.answered;
  return n;
}

absl::StatusOr<Figures> ReadFigures(lake::Lake* lake, const std::string& campaign_id) {
  constexpr char kTokens[] = "4294967295";
  const auto sum = [&](const char* column) {
    return StrCat("sumIf(toUInt64(", column, "), ", column, " != ", kTokens, ")");
  };
  static constexpr model::ExchangeColumn kColumns[] = {{"model"},         {"status"},
                                                       {"input_tokens"},  {"cached_tokens"},
                                                       {"output_tokens"}, {"reasoning_tokens"}};
  const std::string id = lake::SqlString(campaign_id);
  // An answer is something to train on: it was given, and is not known to be empty.
  const std::string sql = StrCat(
      "SELECT model, toUInt64(count()) AS exchanges, toUInt64(countIf((status = 0 OR (status >= "
      "200 "
      "AND status < 300)) AND output_tokens != 0)) AS answered, ",
      sum("input_tokens"), " AS input, ", sum("cached_tokens"), " AS cached, ",
      sum("output_tokens"), " AS output, ", sum("reasoning_tokens"), " AS reasoning FROM ",
      // The table is in the order of accounts.
      model::ExchangesOf(
          id, kColumns, "",
          StrCat("account_id IN (SELECT account_id FROM attributed WHERE campaign_id = ", id, ")")),
      " GROUP BY model ORDER BY exchanges DESC, model");
  Figures f;
  f.queries["training examples and tokens by model"] = sql;
  const absl::Status s = lake->Query(sql, [&](const lake::Block& b) {
    const auto n = [&](size_t column, size_t row) {
      return b.columns[column].As<std::vector<uint64_t>>()[row];
    };
    for (size_t i = 0; i < b.rows(); ++i) {
      f.usage.push_back({std::string(b.columns[0].As<lake::StringColumn>()[i]), n(1, i), n(2, i),
                         n(3, i), n(4, i), n(5, i), n(6, i)});
    }
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  if (f.usage.empty()) {
    return absl::NotFoundError(StrCat("the lake has no attribution of campaign ", campaign_id,
                                      "; scan again, which writes findings and lake together"));
  }
  return f;
}

Intervals MembershipIntervals(const model::Campaign& c) {
  // Memberships are taken as independent given the campaign; counts are sums of many.
  double accounts = 0, accounts_variance = 0, exchanges = 0, exchanges_variance = 0, all = 0;
  for (const model::CampaignMember& m : c.members) {
    const double p = m.verdict == model::VerdictName(c.verdict) ? m.probability : 1;
    const auto n = static_cast<double>(m.attributed_exchanges);
    accounts += p;
    accounts_variance += p * (1 - p);
    exchanges += p * n;
    exchanges_variance += p * (1 - p) * n * n;
    all += n;
  }
  const auto around = [](double mean, double variance, double most) {
    const double half = 1.96 * std::sqrt(variance);
    return Interval{std::max(0.0, mean - half), std::min(most, mean + half)};
  };
  return {around(accounts, accounts_variance, static_cast<double>(c.members.size())),
          around(exchanges, exchanges_variance, all), all > 0 ? exchanges / all : 1};
}

absl::StatusOr<Prices> ParsePrices(const std::string& yaml, const std::string& name) {
  const auto root = Load(yaml, name);
  if (!root.ok()) return root.status();
  Prices prices;
  if (!root->IsMap()) return Wrong(name, *root, "expected {currency: ..., models: {...}}");
  for (const auto& kv : *root) {
    const std::string key = kv.first.Scalar();
    if (key == "currency" && kv.second.IsScalar()) {
      prices.currency = kv.second.Scalar();
    } else if (key == "models" && kv.second.IsMap()) {
      for (const auto& model : kv.second) {
        if (!model.second.IsMap())
          return Wrong(name, model.second,
                       StrCat(model.first.Scalar(), ": expected {input: ..., output: ...}"));
        Price price;
        bool cached = false;
        for (const auto& part : model.second) {
          const std::string which = part.first.Scalar();
          double* to = which == "input"          ? &price.input
                       : which == "cached_input" ? &price.cached_input
                       : which == "output"       ? &price.output
                                                 : nullptr;
          if (to == nullptr)
            return Wrong(
                name, part.first,
                StrCat(which,
                       ": unknown; input, cached_input and output are prices per million tokens"));
          if (!YAML::convert<double>::decode(part.second, *to) || !(*to >= 0) || std::isinf(*to))
            return Wrong(name, part.second, StrCat(which, ": expected a price per million tokens"));
          cached |= which == "cached_input";
        }
        if (!cached) price.cached_input = price.input;
        prices.models[model.first.Scalar()] = price;
      }
    } else {
      return Wrong(name, kv.first,
                   StrCat(key, ": unknown or of the wrong kind; expected currency and models"));
    }
  }
  if (prices.currency.empty())
    return Wrong(name, *root, "currency is missing, as in {currency: USD, models: ...}");
  return prices;
}

bool Worth(const Figures& figures, const Prices& prices, double* out) {
  *out = 0;
  for (const ModelUsage& u : figures.usage) {
    const auto price = prices.models.find(u.model);
    if (price == prices.models.end()) return false;
    const uint64_t cached = std::min(u.cached_tokens, u.input_tokens);
    *out += (static_cast<double>(u.input_tokens - cached) * price->second.input +
             static_cast<double>(cached) * price->second.cached_input +
             static_cast<double>(u.output_tokens) * price->second.output) /
            1e6;
  }
  return true;
}

absl::StatusOr<std::vector<Milestone>> ParseMilestones(const std::string& yaml,
                                                       const std::string& name) {
  const auto root = Load(yaml, name);
  if (!root.ok()) return root.status();
  if (!root->IsSequence()) return Wrong(name, *root, "expected a list of {date, event, source}");
  if (root->size() > kMilestonesMax)
    return Wrong(name, *root, StrCat("more than ", kMilestonesMax, " milestones"));
  std::vector<Milestone> out;
  for (const auto& node : *root) {
    Milestone m;
    if (!node.IsMap()) return Wrong(name, node, "expected {date, event, source}");
    for (const auto& kv : node) {
      const std::string key = kv.first.Scalar();
      std::string* to = key == "date"     ? &m.date
                        : key == "event"  ? &m.event
                        : key == "source" ? &m.source
                                          : nullptr;
      if (to == nullptr || !kv.second.IsScalar())
        return Wrong(name, kv.first, StrCat(key, ": expected date, event and source, each a text"));
      *to = kv.second.Scalar();
    }
    if (m.event.empty() || m.source.empty() || m.date.size() != 10 ||
        !base::ParseRfc3339(m.date + "T00:00:00Z"))
      return Wrong(name, node,
                   "expected a date as 2026-05-12, an event and the source that says so");
    out.push_back(std::move(m));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Milestone& a, const Milestone& b) { return a.date < b.date; });
  return out;
}

}  // namespace stillwatch::dossier
