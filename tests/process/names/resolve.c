/* Prints the addresses of a name, as the C library of this program finds them. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **words) {
    struct addrinfo hints, *found, *one;
    char text[INET6_ADDRSTRLEN];
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (count != 2 || getaddrinfo(words[1], "80", &hints, &found)) return 1;
    for (one = found; one; one = one->ai_next) {
        if (one->ai_family != AF_INET) continue;
        inet_ntop(AF_INET, &((struct sockaddr_in *)one->ai_addr)->sin_addr, text, sizeof text);
        puts(text);
    }
    return 0;
}
