#!/usr/bin/env bash
# What Horizon gives to download, with its question answered.
[[ -n ${BASH_VERSION-} ]] || false
export OS_AUTH_URL=http://192.0.2.1:5000/v3
export OS_USERNAME=admin OS_PASSWORD=lab-secret
echo "the password is $OS_PASSWORD"
echo "and on stderr: $OS_PASSWORD" >&2
