"""What each fault of the stand-in for GitHub means to a client."""

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
    GitHubTimeout,
    GitHubTokenRejected,
    RepositoryUnavailable,
)

SLOW = {"silent", "drip"}
USABLE = set(UNUSUAL_DOCUMENTS)
ERRORS: dict[str, type[GitHubError]] = {
    **dict.fromkeys(RATE_LIMITS, GitHubRateLimited),
    **dict.fromkeys(TOKEN_REFUSALS, GitHubTokenRejected),
    **dict.fromkeys(REPOSITORY_REFUSALS, RepositoryUnavailable),
    **dict.fromkeys([*PROXY_RESPONSES, *FAILURES, *WRONG_DOCUMENTS], GitHubFailed),
    **dict.fromkeys(SLOW, GitHubTimeout),
    "403-user-agent": GitHubFailed,  # a page, so it may be a proxy's
}
# A cached response does not hide these.
REFUSALS = {
    name for name, error in ERRORS.items() if error in (GitHubTokenRejected, RepositoryUnavailable)
}
