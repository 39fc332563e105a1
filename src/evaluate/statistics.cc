#include "evaluate/statistics.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"

namespace stillwatch::evaluate {

std::optional<Interval> Bootstrap(
    size_t n, const std::function<double(std::span<const uint32_t>)>& statistic) {
  if (n < 2) return std::nullopt;
  std::vector<double> values(kBootstrapDraws);
  std::vector<uint32_t> drawn(n);
  uint64_t state = 0;
  for (double& v : values) {
    for (uint32_t& d : drawn)
      d = static_cast<uint32_t>(base::Mix64(++state * 0x9e3779b97f4a7c15ULL) % n);
    v = statistic(drawn);
  }
  std::sort(values.begin(), values.end());
  return Interval{values[kBootstrapDraws / 40], values[kBootstrapDraws - 1 - kBootstrapDraws / 40]};
}

Calibration Calibrate(std::span<const Prediction> predictions) {
  Calibration out;
  out.bins.resize(kCalibrationBins);
  for (int b = 0; b < kCalibrationBins; ++b) {
    out.bins[b].from = static_cast<double>(b) / kCalibrationBins;
    out.bins[b].to = static_cast<double>(b + 1) / kCalibrationBins;
  }
  for (const Prediction& p : predictions) {
    Bin& bin = out.bins[std::clamp(static_cast<int>(p.stated * kCalibrationBins), 0,
                                   kCalibrationBins - 1)];
    ++bin.count;
    bin.happened += p.happened;
    bin.stated += p.stated;
    ++out.count;
    out.happened += p.happened;
    const double q = std::clamp(p.stated, 1e-6, 1 - 1e-6);
    out.log_loss -= std::log(p.happened ? q : 1 - q);
    out.brier += (p.stated - p.happened) * (p.stated - p.happened);
  }
  if (out.count == 0) return out;
  const double n = static_cast<double>(out.count);
  for (Bin& bin : out.bins) {
    if (bin.count == 0) continue;
    out.error += std::abs(bin.stated - static_cast<double>(bin.happened)) / n;
    bin.stated /= static_cast<double>(bin.count);
  }
  out.log_loss /= n;
  out.brier /= n;
  return out;
}

}  // namespace stillwatch::evaluate
