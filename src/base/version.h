// This program's version, in every output that names it.
#pragma once

namespace stillwatch::base {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace stillwatch::base
