#include "user/bin/sh/variables.hpp"

#include "user/bin/sh/lexer.hpp"
#include "user/bin/sh/shell.hpp"

namespace faultline::sh {

Variable& Variables::entry(std::string_view name) {
  auto found = variables_.find(name);
  if (found == variables_.end()) found = variables_.emplace(std::string(name), Variable()).first;
  return found->second;
}

const std::string* Variables::get(std::string_view name) const {
  auto found = variables_.find(name);
  return found == variables_.end() || !found->second.set ? nullptr : &found->second.value;
}

std::string Variables::get_or(std::string_view name, std::string_view otherwise) const {
  const std::string* value = get(name);
  return value ? *value : std::string(otherwise);
}

bool Variables::set(std::string_view name, std::string value) {
  Variable& variable = entry(name);
  if (variable.read_only) {
    complain(std::string(name) + ": is read only");
    return false;
  }
  variable.value = std::move(value);
  variable.set = true;
  return true;
}

bool Variables::unset(std::string_view name) {
  auto found = variables_.find(name);
  if (found == variables_.end()) return true;
  if (found->second.read_only) {
    complain(std::string(name) + ": is read only");
    return false;
  }
  variables_.erase(found);
  return true;
}

void Variables::set_exported(std::string_view name, bool exported) { entry(name).exported = exported; }

void Variables::set_read_only(std::string_view name) { entry(name).read_only = true; }

Variable Variables::save(std::string_view name) const {
  auto found = variables_.find(name);
  return found == variables_.end() ? Variable() : found->second;
}

void Variables::restore(std::string_view name, Variable variable) {
  if (!variable.set && !variable.exported && !variable.read_only) {
    auto found = variables_.find(name);
    if (found != variables_.end()) variables_.erase(found);
  } else {
    entry(name) = std::move(variable);
  }
}

void Variables::import_environment(char** environment) {
  for (; *environment; environment++) {
    std::string_view text = *environment;
    size_t equals = text.find('=');
    if (equals == text.npos || !is_name(text.substr(0, equals))) continue;
    Variable& variable = entry(text.substr(0, equals));
    variable.value = text.substr(equals + 1);
    variable.set = variable.exported = true;
  }
}

std::vector<std::string> Variables::environment() const {
  std::vector<std::string> result;
  for (const auto& [name, variable] : variables_) {
    if (variable.exported && variable.set) result.push_back(name + "=" + variable.value);
  }
  return result;
}

}  // namespace faultline::sh
