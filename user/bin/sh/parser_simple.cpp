// Simple commands, function definitions and redirections.
#include <utility>

#include "user/bin/sh/parser.hpp"

namespace faultline::sh {
namespace {

// If the word is NAME=…, moves it apart into `assignment`.
bool take_assignment(Word& word, Assignment& assignment) {
  if (word.parts.empty()) return false;
  WordPart& first = word.parts.front();
  if (first.kind != WordPart::Kind::Literal || first.quoted) return false;
  size_t equals = first.text.find('=');
  if (equals == std::string::npos || !is_name(std::string_view(first.text).substr(0, equals))) return false;
  assignment.name = first.text.substr(0, equals);
  first.text.erase(0, equals + 1);
  if (first.text == "~") first.kind = WordPart::Kind::Tilde;
  assignment.value = std::move(word);
  return true;
}

bool is_descriptor(std::string_view text) {
  return text == "-" ||
         (!text.empty() && text.size() <= 4 && text.find_first_not_of("0123456789") == text.npos);
}

}  // namespace

bool Parser::parse_simple(Command& command) {
  auto& simple = command.body.emplace<SimpleCommand>();
  for (;;) {
    if (at_redirection()) {
      if (!parse_redirection(command.redirections)) return false;
      continue;
    }
    if (token().kind != Token::Kind::Word) break;
    std::string name(token().plain_text());
    Assignment assignment;
    if (simple.words.empty() && take_assignment(token_.word, assignment)) {
      simple.assignments.push_back(std::move(assignment));
    } else {
      simple.words.push_back(std::move(token_.word));
    }
    advance();
    bool only_word = simple.words.size() == 1 && simple.assignments.empty() && command.redirections.empty();
    if (only_word && is_name(name) && token().is_operator("("))
      return parse_function(command, std::move(name));
  }
  if (failure_.failed) return false;
  if (simple.words.empty() && simple.assignments.empty() && command.redirections.empty()) return unexpected();
  return true;
}

bool Parser::parse_function(Command& command, std::string name) {
  advance();
  if (!token().is_operator(")")) return unexpected();
  advance();
  skip_newlines();
  auto& function = command.body.emplace<FunctionDefinition>();
  function.name = std::move(name);
  function.body = std::make_shared<Command>();
  return parse_command(*function.body);
}

bool Parser::at_redirection() {
  if (token().kind == Token::Kind::IoNumber) return true;
  if (token().kind != Token::Kind::Operator) return false;
  return token().text[0] == '<' || token().text[0] == '>' || token().text == "&>";
}

bool Parser::parse_redirections(std::vector<Redirection>& redirections) {
  while (at_redirection()) {
    if (!parse_redirection(redirections)) return false;
  }
  return !failure_.failed;
}

bool Parser::parse_redirection(std::vector<Redirection>& redirections) {
  Redirection redirection;
  bool has_fd = token().kind == Token::Kind::IoNumber;
  int fd = 0;
  if (has_fd) {
    for (char digit : token().text) fd = fd * 10 + (digit - '0');
    advance();
  }
  if (!at_redirection()) return unexpected();
  std::string name = token().text;
  advance();
  if (token().kind != Token::Kind::Word && token().kind != Token::Kind::IoNumber) return unexpected();
  std::string plain(token().kind == Token::Kind::IoNumber ? std::string_view(token().text)
                                                          : token().plain_text());

  using Kind = Redirection::Kind;
  if (name == "<") redirection.kind = Kind::Read;
  if (name == ">" || name == ">|") redirection.kind = Kind::Write;
  if (name == ">>") redirection.kind = Kind::Append;
  if (name == "<>") redirection.kind = Kind::ReadWrite;
  if (name == "&>") redirection.kind = Kind::WriteBoth;
  if (name == "<&" || name == ">&") redirection.kind = Kind::Duplicate;
  // `>&file` is an old spelling of `&>file`; `>&$x` can only be known to be a descriptor later.
  if (name == ">&" && !has_fd && !plain.empty() && !is_descriptor(plain)) redirection.kind = Kind::WriteBoth;
  redirection.fd = has_fd ? fd : (name[0] == '<' ? 0 : 1);
  redirection.target = std::make_shared<Word>();
  if (name == "<<" || name == "<<-") {
    redirection.kind = Kind::HereDocument;
    std::string delimiter;
    bool literal = false;
    for (const WordPart& part : token_.word.parts) {
      if (part.kind != WordPart::Kind::Literal) {
        lexer_.fail("syntax error: the end of a here-document must be a plain word");
        return false;
      }
      delimiter += part.text;
      literal = literal || part.quoted;
    }
    lexer_.expect_here_document(redirection.target, std::move(delimiter), literal, name == "<<-");
  } else {
    *redirection.target = std::move(token_.word);
  }
  redirections.push_back(std::move(redirection));
  advance();
  return true;
}

}  // namespace faultline::sh
