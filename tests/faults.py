"""The outcome of each fault of the stand-in for GitHub, for a client."""

from tracker.demo.faults import (
    FAILURES,
    PROXY_RESPONSES,
    RATE_LIMITS,
    REPOSITORY_REFUSALS,
    TOKEN_REFUSALS,
    UNUSUAL_DOCUMENTS,
    WRONG_DOCUMENTS,
)
from tracker.errors import (
    GitHubError,
    GitHubFailed,
    GitHubRateLimited,
    GitHubResponseUnusable,
    GitHubTimeout,
    GitHubTokenRejected,
    GitHubTokenRequired,
    GitHubUnreachable,
    RepositoryBlocked,
    RepositoryForbidden,
    RepositoryUnavailable,
)

SLOW = {"silent", "drip"}
USABLE = set(UNUSUAL_DOCUMENTS)
ERRORS: dict[str, type[GitHubError]] = {
    **dict.fromkeys(RATE_LIMITS, GitHubRateLimited),
    **dict.fromkeys(TOKEN_REFUSALS, GitHubTokenRejected),
    **dict.fromkeys(REPOSITORY_REFUSALS, RepositoryUnavailable),
    **dict.fromkeys([*PROXY_RESPONSES, *FAILURES, *WRONG_DOCUMENTS], GitHubResponseUnusable),
    **dict.fromkeys(["500", "502", "503", "503-retry-after"], GitHubFailed),
    **dict.fromkeys(["closed", "cut"], GitHubUnreachable),
    **dict.fromkeys(SLOW, GitHubTimeout),
    **dict.fromkeys(["401", "401-must-authenticate"], GitHubTokenRequired),
    "403": RepositoryForbidden,
    **dict.fromkeys(["403-block", "451", "451-dmca"], RepositoryBlocked),
    "403-user-agent": GitHubResponseUnusable,  # a page, so it may be a proxy's
}
# A cached response does not hide these.
REFUSALS = {
    name
    for name, error in ERRORS.items()
    if issubclass(error, GitHubTokenRejected | RepositoryUnavailable)
}
