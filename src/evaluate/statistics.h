// Intervals and calibration.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/proportion.h"

namespace stillwatch::evaluate {

using base::Interval;
using base::Wilson;

// 95 % percentile bootstrap over `n` units (Efron 1979): `statistic` gets the drawn units' numbers.
// kBootstrapDraws draws from a fixed seed, so the same input gives the same interval. Nothing for
// fewer than two units: one world says nothing about the spread over worlds.
inline constexpr int kBootstrapDraws = 2000;
std::optional<Interval> Bootstrap(
    size_t n, const std::function<double(std::span<const uint32_t>)>& statistic);

struct Prediction {
  double stated = 0;  // probability
  bool happened = false;
};

struct Bin {
  double from = 0, to = 0;
  uint64_t count = 0, happened = 0;
  double stated = 0;  // mean
};

struct Calibration {
  uint64_t count = 0, happened = 0;
  double error =
      0;  // expected calibration error over kCalibrationBins equal bins (Naeini et al. 2015)
  double log_loss = 0;    // mean, natural logarithm; probabilities are clamped to [1e-6, 1 - 1e-6]
  double brier = 0;       // mean squared error
  std::vector<Bin> bins;  // all of them, empty ones too
};
inline constexpr int kCalibrationBins = 10;
Calibration Calibrate(std::span<const Prediction> predictions);

}  // namespace stillwatch::evaluate
