// The scenarios that come with the program (scenarios/*.yaml).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stillwatch::simulate {

std::string_view FindPreset(std::string_view name);          // its YAML; empty: there is none
std::vector<std::pair<std::string, std::string>> Presets();  // name, title

}  // namespace stillwatch::simulate
