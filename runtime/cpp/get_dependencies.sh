#!/usr/bin/env bash
# Unpacks what the C++ runtime is built with below a folder, from the distribution's packages and the Python wheel of
# ONNX Runtime. Installs nothing and needs no root. Then: cmake -DCMAKE_PREFIX_PATH="PREFIX;PREFIX/usr"
#
# usage: get_dependencies.sh PREFIX [--clang]
#   --clang   also Clang with libFuzzer and clang-format, as PREFIX/bin/clang++ and PREFIX/bin/clang-format
#   PYTHON    the Python that has onnxruntime (default: python3)
set -euo pipefail

prefix=$(realpath -m "$1")
include=$prefix/usr/include
mkdir -p "$include" "$prefix/lib" "$prefix/bin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() { echo "get_dependencies.sh: $*" >&2; exit 1; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
  die "no apt-get and dpkg-deb here. Install ONNX Runtime's C++ headers, nlohmann-json, OpenSSL, libjpeg and libpng yourself."

# apt with lists of its own, so that the machine's stay as they are. $1: a sources file.
apt_with() {
  local sources=$1 state=$work/$(basename "$1").state
  shift
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  local options=(-q -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache" -o "Dir::Etc::SourceList=/dev/null"
                 -o "Dir::Etc::SourceParts=$sources" -o "Acquire::Languages=none" -o "APT::Sandbox::User=root")
  [ "$1" = update ] && rm -f "$state"/lists/*Packages
  apt-get "${options[@]}" "$@" >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; return 1; }
}

# The machine's own lists, or fresh ones if it has none.
apt_here() {
  if [ -z "${have_lists:-}" ]; then
    apt-cache show libpng-dev >/dev/null 2>&1 || { mkdir -p "$work/here"; cp -r /etc/apt/sources.list* "$work/here" 2>/dev/null; apt-get -q update >&2; }
    have_lists=yes
  fi
  (cd "$work" && apt-get -q -o APT::Sandbox::User=root "$@" >"$work/apt.log" 2>&1) || { cat "$work/apt.log" >&2; return 1; }
}

# Unpack packages, with the libraries that they depend on directly if $deep is set.
unpack() {
  local target=$1 package
  shift
  apt_here download "$@"
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$target"; done
  rm -f "$work"/*.deb
}

libraries_of() { apt-cache depends --no-recommends --no-suggests "$1" | awk '/ Depends: (lib|zlib)/ {print $2}' | grep -v '^libc6'; }

header() {  # a header, and the package that has it
  [ -e "/usr/include/$1" ] || compgen -G "/usr/include/*/$1" >/dev/null || [ -e "$include/$1" ] ||
    compgen -G "$include/*/$1" >/dev/null && return
  apt-cache show "$2" >/dev/null 2>&1 || apt_here check
  # shellcheck disable=SC2046
  unpack "$prefix" "$2" $(libraries_of "$2")
}

header nlohmann/json.hpp nlohmann-json3-dev
header openssl/evp.h libssl-dev
header jpeglib.h libjpeg62-turbo-dev
header png.h libpng-dev

# ONNX Runtime's headers: from this release of Debian, or the one after bookworm.
if ! compgen -G "/usr/include/onnxruntime/onnxruntime_cxx_api.h" >/dev/null && [ ! -e "$include/onnxruntime/onnxruntime_cxx_api.h" ]; then
  if apt-cache show libonnxruntime-dev >/dev/null 2>&1; then
    unpack "$prefix" libonnxruntime-dev
  else
    grep -q '^VERSION_CODENAME=bookworm' /etc/os-release || die "this distribution has no libonnxruntime-dev; get ONNX Runtime's C++ headers yourself."
    mkdir -p "$work/next"
    # The machine's own entry for Debian, with the next release's name.
    awk 'BEGIN {RS = ""; ORS = "\n\n"} /Suites: bookworm/ && !/security/ {sub(/Suites:[^\n]*/, "Suites: trixie"); print}' \
      /etc/apt/sources.list.d/*.sources 2>/dev/null >"$work/next/next.sources" || true
    grep -h -E '^deb .* bookworm main' /etc/apt/sources.list 2>/dev/null | sed 's/ bookworm / trixie /' >"$work/next/next.list" || true
    apt_with "$work/next" update || die "cannot read the package list of Debian's next release."
    (cd "$work" && apt_with "$work/next" download libonnxruntime-dev) || die "cannot download libonnxruntime-dev."
    dpkg-deb -x "$work"/libonnxruntime-dev_*.deb "$prefix"
    rm -f "$work"/*.deb "$prefix"/usr/lib/*/libonnxruntime.so  # it points to a library that we do not take
    rm -rf "$prefix"/usr/lib/*/cmake/onnxruntime
  fi
fi

# ONNX Runtime's library: the Python wheel's, under the names that linking and loading look for.
wheel=$("${PYTHON:-python3}" -c 'import importlib.util as u; print(u.find_spec("onnxruntime").submodule_search_locations[0])') ||
  die "no Python package onnxruntime; set PYTHON to the Python that has it."
library=$(ls "$wheel"/capi/libonnxruntime.so.* | head -1)
[ -e "$library" ] || die "the onnxruntime package has no libonnxruntime.so."
ln -sf "$library" "$prefix/lib/libonnxruntime.so"
ln -sf "$library" "$prefix/lib/libonnxruntime.so.1"

if [ "${2:-}" = --clang ] && [ ! -e "$prefix/bin/clang++" ]; then
  version=$(apt-cache depends clang | awk '/Depends: clang-[0-9]+/ {sub("clang-", "", $2); print $2}')
  [ -n "$version" ] || die "the distribution has no clang."
  packages=(clang-"$version" clang-format-"$version" libclang-rt-"$version"-dev libclang-common-"$version"-dev
            libfuzzer-"$version"-dev llvm-"$version"-linker-tools)
  # shellcheck disable=SC2046
  unpack "$prefix/clang" "${packages[@]}" $(libraries_of clang-"$version" | grep -E 'libllvm|libclang') 
  for tool in clang++ clang-format; do
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s"\nexec "%s" "$@"\n' \
      "$prefix/clang/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu):$prefix/clang/usr/lib/llvm-$version/lib" \
      "$prefix/clang/usr/lib/llvm-$version/bin/$tool" >"$prefix/bin/$tool"
    chmod +x "$prefix/bin/$tool"
  done
fi
