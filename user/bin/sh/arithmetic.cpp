#include "user/bin/sh/arithmetic.hpp"

#include <errno.h>
#include <stdlib.h>

#include <string_view>

#include "user/bin/sh/lexer.hpp"

namespace faultline::sh {
namespace {

using Integer = long long;
using Natural = unsigned long long;

struct BinaryOperator {
  std::string_view name;
  int precedence;  // a higher one binds tighter
};

// Longer names first: `<<` must not be taken for `<`.
constexpr BinaryOperator kBinaryOperators[] = {
    {"||", 1}, {"&&", 2}, {"==", 6}, {"!=", 6}, {"<=", 7}, {">=", 7}, {"<<", 8}, {">>", 8}, {"|", 3},
    {"^", 4},  {"&", 5},  {"<", 7},  {">", 7},  {"+", 9},  {"-", 9},  {"*", 10}, {"/", 10}, {"%", 10},
};

constexpr std::string_view kAssignments[] = {"<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "^=", "|="};

class Evaluator {
 public:
  Evaluator(Variables& variables, std::string_view text) : variables_(variables), text_(text) {}

  Integer evaluate() {
    skip_blanks();
    if (text_.empty()) return 0;
    Integer value = conditional();
    skip_blanks();
    if (!text_.empty()) fail("unexpected '" + std::string(text_.substr(0, 1)) + "'");
    return value;
  }

  const std::string& error() const { return error_; }

 private:
  static constexpr int kMaxDepth = 100;

  void fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    text_ = {};  // nothing more to read: every loop ends
  }

  void skip_blanks() {
    while (!text_.empty() && std::string_view(" \t\r\n").find(text_[0]) != std::string_view::npos)
      text_.remove_prefix(1);
  }

  bool take(std::string_view symbol) {
    skip_blanks();
    if (!text_.starts_with(symbol)) return false;
    text_.remove_prefix(symbol.size());
    return true;
  }

  // Operands that are not wanted (the other branch of `?:`, the right of a decided `&&`) are evaluated
  // with effects_ off: they must not assign or divide by zero.
  Integer conditional() {
    if (++depth_ > kMaxDepth) {
      fail("nested too deeply");
      return 0;
    }
    Integer value = binary(1);
    if (take("?")) {
      bool outer = effects_;
      effects_ = outer && value != 0;
      Integer yes = conditional();
      if (!take(":")) fail("expected ':'");
      effects_ = outer && value == 0;
      Integer no = conditional();
      effects_ = outer;
      value = value != 0 ? yes : no;
    }
    depth_--;
    return value;
  }

  const BinaryOperator* peek_operator() {
    skip_blanks();
    for (const BinaryOperator& candidate : kBinaryOperators) {
      if (text_.starts_with(candidate.name)) return &candidate;
    }
    return nullptr;
  }

  Integer binary(int least_precedence) {
    Integer left = unary();
    for (;;) {
      const BinaryOperator* found = peek_operator();
      if (!found || found->precedence < least_precedence) return left;
      text_.remove_prefix(found->name.size());
      bool outer = effects_;
      if (found->name == "&&") effects_ = outer && left != 0;
      if (found->name == "||") effects_ = outer && left == 0;
      Integer right = binary(found->precedence + 1);
      left = apply(found->name, left, right);
      effects_ = outer;
    }
  }

  Integer apply(std::string_view name, Integer left, Integer right) {
    Natural a = static_cast<Natural>(left);
    Natural b = static_cast<Natural>(right);
    if (name == "/" || name == "%") return divide(name, left, right);
    if (name == "+") return static_cast<Integer>(a + b);
    if (name == "-") return static_cast<Integer>(a - b);
    if (name == "*") return static_cast<Integer>(a * b);
    if (name == "<<") return static_cast<Integer>(a << (b & 63));
    if (name == ">>") return left >> (b & 63);
    if (name == "&") return left & right;
    if (name == "|") return left | right;
    if (name == "^") return left ^ right;
    if (name == "&&") return left != 0 && right != 0;
    if (name == "||") return left != 0 || right != 0;
    if (name == "==") return left == right;
    if (name == "!=") return left != right;
    if (name == "<=") return left <= right;
    if (name == ">=") return left >= right;
    return name == "<" ? left < right : left > right;
  }

  Integer divide(std::string_view name, Integer left, Integer right) {
    if (right == 0) {
      if (effects_) fail("division by zero");
      return 0;
    }
    if (right == -1) return name == "%" ? 0 : static_cast<Integer>(0 - static_cast<Natural>(left));
    return name == "%" ? left % right : left / right;
  }

  Integer unary() {
    if (++depth_ > kMaxDepth) {
      fail("nested too deeply");
      return 0;
    }
    Integer value = 0;
    if (take("!")) {
      value = unary() == 0;
    } else if (take("~")) {
      value = ~unary();
    } else if (take("-")) {
      value = static_cast<Integer>(0 - static_cast<Natural>(unary()));
    } else if (take("+")) {
      value = unary();
    } else if (take("(")) {
      value = conditional();
      if (!take(")")) fail("expected ')'");
    } else {
      value = primary();
    }
    depth_--;
    return value;
  }

  Integer primary() {
    skip_blanks();
    size_t length = 0;
    while (length < text_.size() && is_name_character(static_cast<unsigned char>(text_[length]))) length++;
    std::string word(text_.substr(0, length));
    text_.remove_prefix(length);
    if (word.empty()) {
      fail(text_.empty() ? "operand expected at the end"
                         : "operand expected at '" + std::string(text_.substr(0, 1)) + "'");
      return 0;
    }
    return is_name(word) ? variable(word) : number(word);
  }

  Integer number(const std::string& word) {
    char* end = nullptr;
    errno = 0;
    Integer value = strtoll(word.c_str(), &end, 0);
    if (*end != '\0' || errno != 0) fail("bad number '" + word + "'");
    return value;
  }

  Integer variable(const std::string& name) {
    std::string_view operation;
    for (std::string_view candidate : kAssignments) {
      if (operation.empty() && take(candidate)) operation = candidate.substr(0, candidate.size() - 1);
    }
    skip_blanks();
    bool plain = operation.empty() && text_.starts_with("=") && !text_.starts_with("==");
    if (plain) text_.remove_prefix(1);
    if (operation.empty() && !plain) return stored(name);
    Integer value = conditional();
    if (!plain) value = apply(operation, stored(name), value);
    if (error_.empty() && effects_ && !variables_.set(name, std::to_string(value)))
      fail("cannot assign to " + name);
    return value;
  }

  Integer stored(const std::string& name) {
    std::string value = variables_.get_or(name, "0");
    return value.empty() ? 0 : number(value);
  }

  Variables& variables_;
  std::string_view text_;
  std::string error_;
  bool effects_ = true;
  int depth_ = 0;
};

}  // namespace

bool evaluate_arithmetic(Variables& variables, const std::string& expression, long long& value,
                         std::string& error) {
  Evaluator evaluator(variables, expression);
  value = evaluator.evaluate();
  error = evaluator.error();
  return error.empty();
}

}  // namespace faultline::sh
