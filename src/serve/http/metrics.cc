#include "serve/http/metrics.h"

#include <prometheus/text_serializer.h>

#include <bit>

namespace stillwatch::serve {

void Latency::Observe(uint64_t ns) {
  const double s = double(ns) * 1e-9;
  size_t i = 0;
  while (i < kBounds.size() && s > kBounds[i]) ++i;
  counts_[i].fetch_add(1, std::memory_order_relaxed);
  ns_.fetch_add(ns, std::memory_order_relaxed);
}

prometheus::Counter& Metrics::Counter(const std::string& name, const std::string& help,
                                      const MetricLabels& labels) {
  // The registry gives the family and the series that are there already.
  std::lock_guard<std::mutex> lock(mutex_);
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(labels);
}

prometheus::Gauge& Metrics::Gauge(const std::string& name, const std::string& help,
                                  const MetricLabels& labels) {
  std::lock_guard<std::mutex> lock(mutex_);
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(labels);
}

Latency& Metrics::Histogram(const std::string& name, const std::string& help,
                            const MetricLabels& labels) {
  std::lock_guard<std::mutex> lock(mutex_);
  Timed& family = timed_[name];
  family.help = help;
  for (auto& [have, series] : family.series) {
    if (have == labels) return *series;
  }
  family.series.emplace_back(labels, std::make_unique<Latency>());
  return *family.series.back().second;
}

void Metrics::Watch(const std::string& name, const std::string& help, std::function<double()> read,
                    const MetricLabels& labels) {
  std::lock_guard<std::mutex> lock(mutex_);
  Watched& family = watched_[name];
  family.help = help;
  family.series.emplace_back(labels, std::move(read));
}

std::string Metrics::Text() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  const auto series = [](const MetricLabels& labels) {
    prometheus::ClientMetric m;
    for (const auto& [key, value] : labels) m.label.push_back({key, value});
    return m;
  };
  for (const auto& [name, family] : timed_) {
    prometheus::MetricFamily out{name, family.help, prometheus::MetricType::Histogram, {}};
    for (const auto& [labels, latency] : family.series) {
      prometheus::ClientMetric m = series(labels);
      uint64_t total = 0;
      for (size_t i = 0; i < latency->counts_.size(); ++i) {
        total += latency->counts_[i].load(std::memory_order_relaxed);
        m.histogram.bucket.push_back({total, i < Latency::kBounds.size()
                                                 ? Latency::kBounds[i]
                                                 : std::numeric_limits<double>::infinity()});
      }
      m.histogram.sample_count = total;
      m.histogram.sample_sum = double(latency->ns_.load(std::memory_order_relaxed)) * 1e-9;
      out.metric.push_back(std::move(m));
    }
    families.push_back(std::move(out));
  }
  for (const auto& [name, family] : watched_) {
    prometheus::MetricFamily out{name, family.help, prometheus::MetricType::Gauge, {}};
    for (const auto& [labels, read] : family.series) {
      prometheus::ClientMetric m = series(labels);
      m.gauge.value = read();
      out.metric.push_back(std::move(m));
    }
    families.push_back(std::move(out));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace stillwatch::serve
