// What /metrics shows. Counters and gauges are prometheus-cpp's (an atomic each); histograms are
// our own, since prometheus-cpp's take a lock for every observation.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace stillwatch::serve {

// Seconds, in fixed buckets from 50 µs to 10 s. Wait-free.
class Latency {
 public:
  static constexpr std::array<double, 17> kBounds = {50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3,
                                                     5e-3,  10e-3,  20e-3,  50e-3,  .1,   .2,
                                                     .5,    1,      2,      5,      10};
  void Observe(uint64_t ns);

 private:
  friend class Metrics;
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<uint64_t> ns_{0};
};

using MetricLabels = std::map<std::string, std::string>;

// Thread-safe. Hold on to what Counter, Gauge and Histogram return: asking takes a lock, using
// them does not. They live as long as the Metrics.
class Metrics {
 public:
  prometheus::Counter& Counter(const std::string& name, const std::string& help,
                               const MetricLabels& labels = {});
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help,
                           const MetricLabels& labels = {});
  Latency& Histogram(const std::string& name, const std::string& help,
                     const MetricLabels& labels = {});
  // `read` is called at every scrape, from the thread that scrapes; it must not block.
  void Watch(const std::string& name, const std::string& help, std::function<double()> read,
             const MetricLabels& labels = {});
  std::string Text() const;  // the exposition format, version 0.0.4

 private:
  struct Timed {
    std::string help;
    std::vector<std::pair<MetricLabels, std::unique_ptr<Latency>>> series;
  };
  struct Watched {
    std::string help;
    std::vector<std::pair<MetricLabels, std::function<double()>>> series;
  };
  mutable std::mutex mutex_;
  prometheus::Registry registry_;
  std::map<std::string, Timed> timed_;
  std::map<std::string, Watched> watched_;
};

}  // namespace stillwatch::serve
