// Shell variables and the environment that commands get.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace faultline::sh {

struct Variable {
  std::string value;
  bool set = false;
  bool exported = false;  // possible before it is set
  bool read_only = false;
};

class Variables {
 public:
  // The value, or null if it is not set. Valid until the variable changes.
  const std::string* get(std::string_view name) const;
  std::string get_or(std::string_view name, std::string_view otherwise) const;
  // These two complain and return false if the variable is read-only.
  bool set(std::string_view name, std::string value);
  bool unset(std::string_view name);
  void set_exported(std::string_view name, bool exported);
  void set_read_only(std::string_view name);

  // Everything about one variable, to be put back later.
  Variable save(std::string_view name) const;
  void restore(std::string_view name, Variable variable);

  void import_environment(char** environment);
  // NAME=value of each exported variable.
  std::vector<std::string> environment() const;
  const std::map<std::string, Variable, std::less<>>& all() const { return variables_; }

 private:
  Variable& entry(std::string_view name);

  std::map<std::string, Variable, std::less<>> variables_;
};

}  // namespace faultline::sh
